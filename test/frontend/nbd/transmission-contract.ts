/** What a client may count on in the transmission phase, whichever way replies are sent. */
import { EXTENTS_MAX, PAYLOAD_BYTES_MAX } from '../../../lib/frontend/nbd/limits';
import {
  REQUEST_DISCARD,
  REQUEST_FLUSH,
  REQUEST_READ,
  REQUEST_WRITE,
  REQUEST_WRITE_ZEROES,
  STATUS_EOPNOTSUPP,
  STATUS_ERROR,
} from '../../../lib/vbd/request';
import { CHUNK_BYTES, memoryDisk } from './memory-disk';
import { CMD, FLAG, type NbdClient, requestBytes } from './nbd-client';
import { pattern } from './pattern';
import { serve, TestDevice, until } from './test-server';

const KIB = 1024;
const MIB = KIB * KIB;
const EPERM = 1;
const EIO = 5;
const EINVAL = 22;
const ENOSPC = 28;
const EOVERFLOW = 75;
const ENOTSUP = 95;
const HOLE = 3;
const DATA = 0;

export function transmissionContract(): void {
  describe.each([
    ['simple', false],
    ['structured', true],
  ])('%s replies', (_name, structured) => {
    test.each([512, 4 * KIB, 100 * KIB + 512, 3 * MIB, PAYLOAD_BYTES_MAX])(
      'carry %i bytes there and back',
      async (length) => {
        const { go } = await serve(await memoryDisk(64 * MIB));
        const client = await go({ structured });
        const data = pattern(length);
        expect(await client.writeData(512, data)).toBe(0);
        expect((await client.readData(512, length)).equals(data)).toBe(true);
        expect((await client.readData(0, 512)).equals(Buffer.alloc(512))).toBe(true);
        expect((await client.readData(512 + length, 512)).equals(Buffer.alloc(512))).toBe(true);
      },
    );

    test('have the layout that was agreed on', async () => {
      const { go } = await serve(new TestDevice());
      const client = await go({ structured });
      const cookie = 0xfedcba9876543210n;
      client.send(requestBytes({ command: CMD.READ, offset: 1024, length: 512, cookie }));
      const header = structured
        ? '668e33ef' + '0001' + '0001' + 'fedcba9876543210' + '00000208' + '0000000000000400'
        : '67446698' + '00000000' + 'fedcba9876543210';
      const bytes = await client.read(header.length / 2 + 512);
      expect(bytes.toString('hex')).toBe(header + '00'.repeat(512));
      client.send(requestBytes({ command: CMD.READ, offset: 1, length: 512, cookie }));
      const refusal = structured
        ? '668e33ef' + '0001' + '8001' + 'fedcba9876543210' + '00000006' + '000000160000'
        : '67446698' + '00000016' + 'fedcba9876543210';
      expect((await client.read(refusal.length / 2)).toString('hex')).toBe(refusal);
    });

    test('say what went wrong below', async () => {
      const device = new TestDevice({ manual: true });
      const { go } = await serve(device);
      const client = await go({ structured });
      for (const [status, errno, expected] of [
        [STATUS_ERROR, 5, EIO],
        [STATUS_ERROR, 28, ENOSPC],
        [STATUS_ERROR, 122, ENOSPC],
        [STATUS_ERROR, 30, EPERM],
        [STATUS_ERROR, 110, EIO],
        [STATUS_EOPNOTSUPP, 0, ENOTSUP],
      ]) {
        for (const command of [CMD.READ, CMD.WRITE]) {
          const data = command === CMD.WRITE ? Buffer.alloc(512) : Buffer.alloc(0);
          const answer = client.request({ command, offset: 0, length: 512, data });
          await until(() => device.waiting.length === 1);
          device.waiting[0].errno = errno;
          device.complete(device.waiting[0], status);
          expect(await answer).toMatchObject({ error: expected });
        }
      }
      expect(device.leaked).toBe(0);
    });

    test('come in the order of completion, each to its request', async () => {
      const device = new TestDevice({ manual: true });
      pattern(device.disk.length).copy(device.disk);
      const { go } = await serve(device);
      const client = await go({ structured });
      for (let i = 0; i < 8; i++) {
        const place = { offset: i * 512, length: 512, cookie: BigInt(i) };
        client.send(requestBytes({ command: CMD.READ, ...place }));
      }
      await until(() => device.waiting.length === 8);
      for (const index of [5, 0, 5]) device.complete(device.waiting[index]);
      for (const cookie of [5n, 0n, 7n]) {
        const reply = await client.reply(() => 512);
        expect(reply.cookie).toBe(cookie);
        const data = structured ? reply.chunk?.data.subarray(8) : reply.chunk?.data;
        const at = Number(cookie) * 512;
        expect(data?.equals(device.disk.subarray(at, at + 512))).toBe(true);
      }
      device.completeAll();
    });
  });

  describe('requests', () => {
    test('may come in any pieces', async () => {
      const { go } = await serve(new TestDevice());
      const client = await go();
      const bytes = Buffer.concat([
        requestBytes({ command: CMD.WRITE, offset: 512, data: pattern(1024), cookie: 1n }),
        requestBytes({ command: CMD.WRITE, offset: 0, data: pattern(512, 7), cookie: 2n }),
        requestBytes({ command: CMD.FLUSH, cookie: 3n }),
      ]);
      for (let at = 1; at < bytes.length; at += 13) {
        client.send(bytes.subarray(0, at));
        await new Promise((resolve) => setImmediate(resolve));
        client.send(bytes.subarray(at));
        for (const cookie of [1n, 2n, 3n]) {
          expect(await client.reply()).toEqual({ cookie, error: 0, chunk: null });
        }
      }
      expect((await client.readData(512, 1024)).equals(pattern(1024))).toBe(true);
    });

    test('that come together are handed over together', async () => {
      const device = new TestDevice();
      const { go } = await serve(device);
      const client = await go();
      const requests = Array.from({ length: 50 }, (_, i) =>
        requestBytes({ command: CMD.READ, offset: i * 512, length: 512, cookie: BigInt(i) }),
      );
      client.send(Buffer.concat(requests));
      for (let i = 0; i < 50; i++) await client.reply(() => 512);
      expect(device.seen).toHaveLength(50);
      expect(device.kicks).toBeLessThan(10);
    });

    test('become those of the block device', async () => {
      const device = new TestDevice({ manual: true });
      const { go } = await serve(device);
      const client = await go();
      const data = Buffer.alloc(1024);
      for (const [request, operation, isForced] of [
        [{ command: CMD.READ, length: 1024 }, REQUEST_READ, false],
        [{ command: CMD.READ, length: 1024, flags: FLAG.FUA }, REQUEST_READ, false],
        [{ command: CMD.WRITE, data }, REQUEST_WRITE, false],
        [{ command: CMD.WRITE, data, flags: FLAG.FUA }, REQUEST_WRITE, true],
        [{ command: CMD.TRIM, length: 1024 }, REQUEST_DISCARD, false],
        [{ command: CMD.TRIM, length: 1024, flags: FLAG.FUA }, REQUEST_DISCARD, true],
        [{ command: CMD.WRITE_ZEROES, length: 1024 }, REQUEST_WRITE_ZEROES, false],
        [
          { command: CMD.WRITE_ZEROES, length: 1024, flags: FLAG.FAST_ZERO | FLAG.FUA },
          REQUEST_WRITE_ZEROES,
          true,
        ],
      ] as const) {
        client.send(requestBytes({ offset: 2048, ...request }));
        await until(() => device.waiting.length === 1);
        const [seen] = device.waiting;
        expect(seen).toMatchObject({ operation, sector: 4, sectorCount: 2 });
        expect(seen.forceUnitAccess).toBe(isForced);
        device.complete(seen);
        expect((await client.reply(() => (operation === REQUEST_READ ? 1024 : 0))).error).toBe(0);
      }
      client.send(requestBytes({ command: CMD.FLUSH }));
      await until(() => device.waiting.length === 1);
      expect(device.waiting[0]).toMatchObject({ operation: REQUEST_FLUSH, runCount: 0 });
      device.completeAll();
      expect((await client.reply()).error).toBe(0);
    });

    test.each<[string, Parameters<NbdClient['request']>[0], number]>([
      ['an offset within a sector', { command: CMD.READ, offset: 100, length: 512 }, EINVAL],
      ['a length of part of a sector', { command: CMD.READ, length: 100 }, EINVAL],
      ['no length', { command: CMD.READ, length: 0 }, EINVAL],
      ['a read beyond the end', { command: CMD.READ, offset: MIB, length: 512 }, EINVAL],
      ['a read across the end', { command: CMD.READ, offset: MIB - 512, length: 1024 }, EINVAL],
      ['a read at 2^63', { command: CMD.READ, offset: 2n ** 63n, length: 512 }, EINVAL],
      [
        'a read at the last of all bytes',
        { command: CMD.READ, offset: 2n ** 64n - 512n, length: 512 },
        EINVAL,
      ],
      [
        'a write beyond the end',
        { command: CMD.WRITE, offset: MIB, data: Buffer.alloc(512) },
        ENOSPC,
      ],
      [
        'a write at 2^53',
        { command: CMD.WRITE, offset: 2n ** 53n, data: Buffer.alloc(512) },
        EINVAL,
      ],
      ['zeroes beyond the end', { command: CMD.WRITE_ZEROES, offset: MIB, length: 512 }, ENOSPC],
      ['a trim of 4 GiB less a sector', { command: CMD.TRIM, length: 0xfffffe00 }, EINVAL],
      ['a flush of something', { command: CMD.FLUSH, offset: 512, length: 512 }, EINVAL],
      ['an unknown command', { command: 8, length: 512 }, EINVAL],
      ['the last of all commands', { command: 0xffff, length: 512 }, EINVAL],
      ['an unknown flag', { command: CMD.READ, length: 512, flags: 0x40 }, EINVAL],
      [
        'a flag of another command',
        { command: CMD.WRITE, data: Buffer.alloc(512), flags: FLAG.DF },
        EINVAL,
      ],
      ['extents that were not agreed on', { command: CMD.BLOCK_STATUS, length: 512 }, EINVAL],
      [
        'allocated zeroes that must be fast',
        { command: CMD.WRITE_ZEROES, length: 512, flags: FLAG.NO_HOLE | FLAG.FAST_ZERO },
        ENOTSUP,
      ],
    ])('of %s are refused, and the next one is served', async (_what, request, error) => {
      const device = new TestDevice({ sectors: MIB / 512 });
      const { go } = await serve(device);
      const client = await go();
      expect((await client.request(request)).error).toBe(error);
      expect(await client.writeData(MIB - 512, pattern(512))).toBe(0);
      expect((await client.readData(MIB - 512, 512)).equals(pattern(512))).toBe(true);
      expect(device.seen).toHaveLength(2);
    });

    test('that read more than the limit are refused', async () => {
      const { go } = await serve(await memoryDisk(64 * MIB));
      const client = await go();
      const length = PAYLOAD_BYTES_MAX + 512;
      expect((await client.request({ command: CMD.READ, length })).error).toBe(EOVERFLOW);
      expect((await client.readData(0, 512)).length).toBe(512);
    });

    test('that change a read-only export are refused', async () => {
      const { go } = await serve(await memoryDisk(MIB, true));
      const client = await go();
      expect(await client.writeData(0, Buffer.alloc(4096, 1))).toBe(EPERM);
      for (const command of [CMD.TRIM, CMD.WRITE_ZEROES]) {
        expect((await client.request({ command, length: 4096 })).error).toBe(EPERM);
      }
      expect((await client.request({ command: CMD.FLUSH })).error).toBe(0);
      expect((await client.readData(0, 4096)).equals(Buffer.alloc(4096))).toBe(true);
    });

    test('CACHE is sound or not, and does nothing', async () => {
      const device = new TestDevice();
      const { go } = await serve(device);
      const client = await go();
      expect((await client.request({ command: CMD.CACHE, length: 4096 })).error).toBe(0);
      expect((await client.request({ command: CMD.CACHE, length: 0xfffffe00 })).error).toBe(EINVAL);
      expect(device.seen).toEqual([]);
    });

    test('DISC lets those before it be answered, and ends the connection', async () => {
      const device = new TestDevice({ manual: true });
      const { go, failures } = await serve(device);
      const client = await go();
      client.send(
        Buffer.concat([
          requestBytes({ command: CMD.READ, length: 512 }),
          requestBytes({ command: CMD.DISC }),
          requestBytes({ command: CMD.READ, length: 512 }),
        ]),
      );
      await until(() => device.waiting.length > 0);
      device.completeAll();
      expect((await client.reply(() => 512)).error).toBe(0);
      await client.closed;
      expect(device.seen).toHaveLength(1);
      expect(failures).toEqual([]);
    });

    test('of a client that sends no more are answered', async () => {
      const device = new TestDevice({ manual: true });
      const { go } = await serve(device);
      const client = await go();
      client.send(requestBytes({ command: CMD.READ, length: 512 }));
      client.socket.end();
      await until(() => device.waiting.length > 0);
      await new Promise((resolve) => setTimeout(resolve, 5));
      device.completeAll();
      expect((await client.reply(() => 512)).error).toBe(0);
      await client.closed;
    });
  });

  describe('space', () => {
    test('is described chunk by chunk, and taken and given back', async () => {
      const { go } = await serve(await memoryDisk(16 * CHUNK_BYTES));
      const client = await go({ blockStatus: true });
      const all = 16 * CHUNK_BYTES;
      expect(await client.extents(0, all)).toEqual([[all, HOLE]]);
      await client.writeData(2 * CHUNK_BYTES, pattern(512));
      await client.writeData(3 * CHUNK_BYTES + 4096, pattern(512));
      await client.writeData(15 * CHUNK_BYTES, pattern(512));
      const expected = [
        [2 * CHUNK_BYTES, HOLE],
        [2 * CHUNK_BYTES, DATA],
        [11 * CHUNK_BYTES, HOLE],
        [CHUNK_BYTES, DATA],
      ];
      expect(await client.extents(0, all)).toEqual(expected);
      expect(await client.extents(0, all, FLAG.REQ_ONE)).toEqual(expected.slice(0, 1));
      // Within one chunk, and across the border of two.
      expect(await client.extents(2 * CHUNK_BYTES + 512, 512)).toEqual([[512, DATA]]);
      expect(await client.extents(4 * CHUNK_BYTES - 512, 1024)).toEqual([
        [512, DATA],
        [512, HOLE],
      ]);
      await client.request({ command: CMD.TRIM, offset: 2 * CHUNK_BYTES, length: CHUNK_BYTES });
      await client.request({
        command: CMD.WRITE_ZEROES,
        offset: 15 * CHUNK_BYTES,
        length: CHUNK_BYTES,
      });
      expect(await client.extents(0, all)).toEqual([
        [3 * CHUNK_BYTES, HOLE],
        [CHUNK_BYTES, DATA],
        [12 * CHUNK_BYTES, HOLE],
      ]);
    });

    test('is described in part where it is in too many pieces', async () => {
      const device = new TestDevice({ sectors: 1 << 20 });
      device.nextAllocatedSector = (from) => (from % 2 === 0 ? from : from + 1);
      device.nextFreeSector = (from) => from + 1;
      const { go } = await serve(device);
      const client = await go({ blockStatus: true });
      const extents = await client.extents(0, 1 << 28);
      expect(extents).toHaveLength(EXTENTS_MAX);
      expect(extents.slice(0, 2)).toEqual([
        [512, DATA],
        [512, HOLE],
      ]);
    });

    test('is kept by zeroes that shall not be a hole', async () => {
      const { go } = await serve(await memoryDisk(80 * MIB));
      const client = await go({ blockStatus: true });
      await client.writeData(0, pattern(8 * KIB));
      await client.writeData(70 * MIB, pattern(8 * KIB));
      // Longer than one step of such writes.
      const length = 70 * MIB;
      const flags = FLAG.NO_HOLE;
      const offset = 4 * KIB;
      expect(
        (await client.request({ command: CMD.WRITE_ZEROES, offset, length, flags })).error,
      ).toBe(0);
      expect(await client.extents(0, 80 * MIB)).toEqual([
        [70 * MIB + CHUNK_BYTES, DATA],
        [10 * MIB - CHUNK_BYTES, HOLE],
      ]);
      expect((await client.readData(0, 4 * KIB)).equals(pattern(4 * KIB))).toBe(true);
      expect((await client.readData(4 * KIB, MIB)).equals(Buffer.alloc(MIB))).toBe(true);
      const end = await client.readData(70 * MIB, 8 * KIB);
      expect(end.subarray(0, 4 * KIB).equals(Buffer.alloc(4 * KIB))).toBe(true);
      expect(end.subarray(4 * KIB).equals(pattern(8 * KIB).subarray(4 * KIB))).toBe(true);
    });

    test('and zeroes fail with their first step that fails', async () => {
      const device = new TestDevice({ manual: true, sectors: (100 * MIB) / 512 });
      const { go } = await serve(device);
      const client = await go();
      const answer = client.request({
        command: CMD.WRITE_ZEROES,
        length: 100 * MIB,
        flags: FLAG.NO_HOLE,
      });
      await until(() => device.waiting.length === 1);
      device.disk.fill(1);
      device.waiting[0].errno = ENOSPC;
      device.complete(device.waiting[0], STATUS_ERROR);
      expect((await answer).error).toBe(ENOSPC);
      expect(device.seen).toHaveLength(1);
      expect(device.leaked).toBe(0);
    });
  });
}
