import fc from 'fast-check';
import {
  decodeMessage,
  encodeMessage,
  MESSAGES,
  type ControlMessage,
  type DataModel,
} from '../../lib/control/messages';

const hex = (text: string): Buffer => Buffer.from(text.replace(/\s+/g, ''), 'hex');
const address = { driverType: 1, cookie: 0x1234 };

describe('messages, byte for byte', () => {
  const cases: [ControlMessage, DataModel, string][] = [
    [
      { name: 'PARAMS', ...address, readOnly: true, path: 'p/vol' },
      'lp64',
      '0100 1600 0100 3412 01 00000000000000  702f766f6c00',
    ],
    [
      { name: 'IMG', ...address, sectors: 0x123456789a, sectorSize: 512, info: 4 },
      'lp64',
      '0200 2800 0100 3412 00 00000000000000  9a78563412000000 0002000000000000 04000000 00000000',
    ],
    [
      { name: 'IMG', ...address, sectors: 0x123456789a, sectorSize: 512, info: 4 },
      'ilp32',
      '0200 2000 0100 3412 00 00000000000000  9a78563412000000 00020000 04000000',
    ],
    [{ name: 'IMG_FAIL', ...address }, 'lp64', '0300 1000 0100 3412 00 00000000000000'],
    [
      { name: 'NEWDEV', ...address, minor: 255, domid: 0x7ff0 },
      'lp64',
      '0400 1400 0100 3412 00 00000000000000  ff 00 f07f',
    ],
    [{ name: 'NEWDEV_RSP', ...address }, 'lp64', '0500 1000 0100 3412 00 00000000000000'],
    [{ name: 'NEWDEV_FAIL', ...address }, 'lp64', '0600 1000 0100 3412 00 00000000000000'],
    [{ name: 'CLOSE', ...address }, 'lp64', '0700 1000 0100 3412 00 00000000000000'],
    [{ name: 'CLOSE_RSP', ...address }, 'lp64', '0800 1000 0100 3412 00 00000000000000'],
    [{ name: 'PID', ...address }, 'lp64', '0900 1000 0100 3412 00 00000000000000'],
    [
      { name: 'PID_RSP', ...address, pid: 65535 },
      'ilp32',
      '0a00 1400 0100 3412 00 00000000000000  ffff0000',
    ],
  ];

  test.each(cases)('%j as %s', (message, dataModel, expected) => {
    expect(encodeMessage(message, dataModel).toString('hex')).toBe(hex(expected).toString('hex'));
    const row = MESSAGES.find(({ name }) => name === message.name)!;
    expect(decodeMessage(hex(expected), row.direction)).toEqual(message);
  });

  test('the table covers each message once', () => {
    expect(new Set(cases.map(([{ name }]) => name))).toEqual(new Set(MESSAGES.map((m) => m.name)));
    expect(new Set(MESSAGES.map((m) => m.type)).size).toBe(MESSAGES.length);
  });

  test('what the pads hold does not matter', () => {
    const params = hex('0100 1600 0100 3412 00 deadbeefdeadbe  702f766f6c00');
    expect(decodeMessage(params, 'toTapdisk')).toEqual({
      name: 'PARAMS',
      ...address,
      readOnly: false,
      path: 'p/vol',
    });
    const newdev = hex('0400 1400 0100 3412 ff ffffffffffffff  07 ff 0300');
    expect(decodeMessage(newdev, 'toTapdisk')).toEqual({
      name: 'NEWDEV',
      ...address,
      minor: 7,
      domid: 3,
    });
    const image = hex(
      '0200 0000 0000 0000 ff ffffffffffffff 0800000000000000 0002000000000000 00000000 ffffffff',
    );
    expect(decodeMessage(image, 'toControl')).toMatchObject({ sectors: 8, info: 0 });
  });

  test('bytes after the NUL of a path are not part of it', () => {
    const params = hex('0100 1900 0100 3412 00 deadbeefdeadbe  702f766f6c00 ffff41');
    expect(decodeMessage(params, 'toTapdisk')).toMatchObject({ path: 'p/vol' });
  });

  test.each([
    ['a header cut short', '0900 1000 0100 3412 00 000000000000', 'toTapdisk'],
    ['an unknown type', '0b00 1000 0100 3412 00 00000000000000', 'toTapdisk'],
    ['a message of the other direction', '0300 1000 0100 3412 00 00000000000000', 'toTapdisk'],
    ['CLOSE with a payload', '0700 1400 0100 3412 00 00000000000000 00000000', 'toTapdisk'],
    ['NEWDEV without one', '0400 1000 0100 3412 00 00000000000000', 'toTapdisk'],
    ['PARAMS without one', '0100 1000 0100 3412 00 00000000000000', 'toTapdisk'],
    ['a path without end', '0100 1200 0100 3412 00 00000000000000 7070', 'toTapdisk'],
    ['a path not in UTF-8', '0100 1200 0100 3412 00 00000000000000 ff00', 'toTapdisk'],
    [
      'an image of neither model',
      '0200 2400 0100 3412 00 00000000000000' + '00'.repeat(20),
      'toControl',
    ],
    [
      'a size beyond 2^53',
      '0200 2800 0100 3412 00 00000000000000' + 'ff'.repeat(8) + '00'.repeat(16),
      'toControl',
    ],
  ] as const)('%s is refused', (_, bytes, direction) => {
    expect(() => decodeMessage(hex(bytes), direction)).toThrow(
      expect.objectContaining({ code: 'MESSAGE_MALFORMED' }) as Error,
    );
  });

  test.each([
    ['a cookie above u16', { name: 'PID', driverType: 0, cookie: 65536 }],
    ['a minor above u8', { name: 'NEWDEV', ...address, minor: 256, domid: 0 }],
    ['a negative size', { name: 'IMG', ...address, sectors: -1, sectorSize: 512, info: 0 }],
    ['a path with NUL', { name: 'PARAMS', ...address, readOnly: false, path: 'a\0b' }],
    ['no path', { name: 'PARAMS', ...address, readOnly: false, path: '' }],
    ['a long path', { name: 'PARAMS', ...address, readOnly: false, path: 'x'.repeat(4080) }],
  ] as [string, ControlMessage][])('%s is not encoded', (_, message) => {
    expect(() => encodeMessage(message)).toThrow(
      expect.objectContaining({ code: 'MESSAGE_FIELD_RANGE' }) as Error,
    );
  });

  test('the longest path fits', () => {
    const message = {
      name: 'PARAMS',
      ...address,
      readOnly: false,
      path: 'x'.repeat(4079),
    } as const;
    const bytes = encodeMessage(message);
    expect(bytes.length).toBe(4096);
    expect(decodeMessage(bytes, 'toTapdisk')).toEqual(message);
  });

  test('any bytes are decoded or refused, never worse', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 12 }),
        fc.uint8Array({ maxLength: 64 }),
        fc.constantFrom('toTapdisk' as const, 'toControl' as const),
        (type, tail, direction) => {
          const bytes = Buffer.concat([Buffer.from([type, 0]), tail]);
          try {
            decodeMessage(bytes, direction);
          } catch (error) {
            expect(error).toMatchObject({ code: 'MESSAGE_MALFORMED' });
          }
        },
      ),
    );
  });
});
