import fc from 'fast-check';
import { MessageFraming } from '../../lib/control/message-framing';
import { encodeMessage, type ControlMessage } from '../../lib/control/messages';

const pid = encodeMessage({ name: 'PID', driverType: 0, cookie: 1 });
const close = encodeMessage({ name: 'CLOSE', driverType: 0, cookie: 2 });
const params = encodeMessage({
  name: 'PARAMS',
  driverType: 0,
  cookie: 3,
  readOnly: false,
  path: 'pool/volume',
});

function collect(direction: 'toTapdisk' | 'toControl' = 'toTapdisk') {
  const messages: string[] = [];
  const refused: { reason: string; type: number | undefined }[] = [];
  const framing = new MessageFraming(direction, {
    message: (bytes) => messages.push(bytes.toString('hex')),
    refused: (reason, header) => refused.push({ reason, type: header?.type }),
  });
  return { framing, messages, refused };
}
const hexOf = (...all: Buffer[]): string[] => all.map((bytes) => bytes.toString('hex'));
const header = (type: number, len: number): Buffer => {
  const bytes = Buffer.alloc(16, 0xee);
  bytes.writeUInt16LE(type, 0);
  bytes.writeUInt16LE(len, 2);
  return bytes;
};

describe('framing', () => {
  test('several messages in one read', () => {
    const { framing, messages, refused } = collect();
    framing.push(Buffer.concat([pid, params, close]));
    expect(messages).toEqual(hexOf(pid, params, close));
    expect(refused).toEqual([]);
  });

  test('however the reads fall, the messages are the same', () => {
    const stream = Buffer.concat([pid, params, close, params, pid]);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 30 }), (sizes) => {
        const { framing, messages, refused } = collect();
        let at = 0;
        for (const size of [...sizes, stream.length]) {
          framing.push(stream.subarray(at, at + size));
          at = Math.min(at + size, stream.length);
        }
        expect(messages).toEqual(hexOf(pid, params, close, params, pid));
        expect(refused).toEqual([]);
        expect(framing.partialBytes).toBe(0);
      }),
    );
  });

  test('the framing keeps no view of the reader`s buffer', () => {
    const kept: Buffer[] = [];
    const framing = new MessageFraming('toTapdisk', {
      message: (bytes) => kept.push(bytes),
      refused: () => undefined,
    });
    const read = Buffer.from(pid);
    framing.push(read);
    read.fill(0);
    expect(kept).toEqual([pid]);
  });

  test('a part that is given up does not spoil the next message', () => {
    const { framing, messages, refused } = collect();
    framing.push(params.subarray(0, 20));
    expect(framing.partialBytes).toBe(20);
    framing.dropPartial();
    framing.dropPartial();
    framing.push(pid);
    expect(messages).toEqual(hexOf(pid));
    expect(refused).toMatchObject([
      { reason: expect.stringContaining('20 bytes') as string, type: 1 },
    ]);
  });

  test.each([
    ['len above 4096', header(1, 4097)],
    ['len 65535', header(1, 65535)],
    ['len below a header', header(7, 15)],
    ['a fixed message said to be long', header(7, 4000)],
    ['an unknown type whose rest is not there', header(99, 300)],
    ['an unknown type without len', header(99, 0)],
  ])('%s costs the rest of its read alone', (_name, bad: Buffer) => {
    const { framing, messages, refused } = collect();
    framing.push(Buffer.concat([pid, bad, close]));
    framing.push(params);
    expect(messages).toEqual(hexOf(pid, params));
    expect(refused).toHaveLength(1);
    expect(framing.partialBytes).toBe(0);
  });

  test('an unknown type with a believable len costs itself alone', () => {
    const { framing, messages, refused } = collect();
    framing.push(Buffer.concat([pid, header(99, 20), Buffer.alloc(4), close]));
    expect(messages).toEqual(hexOf(pid, close));
    expect(refused).toEqual([{ reason: 'unknown type 99', type: 99 }]);
  });

  test('len 0 means the type`s own length, or the whole read', () => {
    const { framing, messages } = collect();
    const bare = Buffer.from(close);
    bare.writeUInt16LE(0, 2);
    const path = Buffer.from(params);
    path.writeUInt16LE(0, 2);
    framing.push(Buffer.concat([bare, pid, path]));
    expect(messages).toEqual(hexOf(bare, pid, path));
  });

  test.each(['lp64', 'ilp32'] as const)('the reference`s IMG with len 0, %s', (dataModel) => {
    const { framing, messages } = collect('toControl');
    const image: ControlMessage = {
      name: 'IMG',
      driverType: 0,
      cookie: 0,
      sectors: 1,
      sectorSize: 512,
      info: 0,
    };
    const bytes = encodeMessage(image, dataModel);
    bytes.writeUInt16LE(0, 2);
    framing.push(bytes);
    expect(messages).toEqual(hexOf(bytes));
  });

  test('any stream is taken to its end, and no more than a message is kept', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 20 }), (reads) => {
        const { framing } = collect();
        for (const read of reads) {
          framing.push(Buffer.from(read));
          expect(framing.partialBytes).toBeLessThan(4096);
        }
      }),
    );
  });
});
