/** What many requests and many connections at once may count on, whichever way replies are sent. */
import { ARENA_BYTES, REQUESTS_IN_FLIGHT_MAX } from '../../../lib/frontend/nbd/limits';
import { REQUEST_FLUSH, REQUEST_READ, REQUEST_WRITE } from '../../../lib/vbd/request';
import { memoryDisk } from './memory-disk';
import { CMD, requestBytes, SIMPLE_TYPE } from './nbd-client';
import { pattern } from './pattern';
import { serve, TestDevice, until } from './test-server';

const MIB = 1 << 20;

export function concurrencyContract(): void {
  describe('several connections', () => {
    test('see each other, and flush for each other', async () => {
      const device = new TestDevice();
      const { go } = await serve(device);
      const a = await go();
      const b = await go({ structured: true });
      await a.writeData(0, pattern(4096));
      expect((await b.readData(0, 4096)).equals(pattern(4096))).toBe(true);
      expect((await b.request({ command: CMD.FLUSH })).error).toBe(0);
      expect(device.seen.map(({ operation }) => operation)).toEqual([
        REQUEST_WRITE,
        REQUEST_READ,
        REQUEST_FLUSH,
      ]);
    });

    test('share a small pool of requests', async () => {
      const device = new TestDevice({ requestsMax: 2 });
      const { go } = await serve(device);
      const clients = [await go(), await go(), await go()];
      for (const client of clients) {
        for (let i = 0; i < 30; i++) {
          client.send(requestBytes({ command: CMD.WRITE, offset: i * 512, data: pattern(512) }));
        }
      }
      for (const client of clients) {
        for (let i = 0; i < 30; i++) expect((await client.reply()).error).toBe(0);
      }
    });

    test('share the memory for large requests', async () => {
      const { go } = await serve(await memoryDisk(64 * MIB), { largeRequestsBytesMax: 8 * MIB });
      const clients = await Promise.all(Array.from({ length: 6 }, () => go()));
      const length = 3 * MIB;
      await clients[0].writeData(MIB, pattern(length));
      for (const client of clients) {
        for (let i = 0; i < 2; i++) {
          client.send(requestBytes({ command: CMD.READ, offset: MIB, length }));
        }
      }
      for (const client of clients) {
        for (let i = 0; i < 2; i++) {
          const { chunk } = await client.reply(() => length);
          expect(chunk?.data.equals(pattern(length))).toBe(true);
        }
      }
    });
  });

  describe('limits', () => {
    test('hold further requests back until earlier ones are answered', async () => {
      const device = new TestDevice({ manual: true, requestsMax: 2 * REQUESTS_IN_FLIGHT_MAX });
      const { go } = await serve(device);
      const client = await go();
      const count = 2 * REQUESTS_IN_FLIGHT_MAX;
      for (let i = 0; i < count; i++) {
        client.send(requestBytes({ command: CMD.READ, offset: i * 512, length: 512 }));
      }
      await until(() => device.waiting.length === REQUESTS_IN_FLIGHT_MAX);
      await new Promise((resolve) => setTimeout(resolve, 20));
      expect(device.waiting).toHaveLength(REQUESTS_IN_FLIGHT_MAX);
      device.manual = false;
      device.completeAll();
      for (let i = 0; i < count; i++) expect((await client.reply(() => 512)).error).toBe(0);
      expect(device.leaked).toBe(0);
    });

    test('hold payloads back that the memory has no room for', async () => {
      const device = new TestDevice({ manual: true, sectors: 65_536 });
      const { go } = await serve(device);
      const client = await go();
      const length = MIB;
      const fitting = ARENA_BYTES / length;
      const data = pattern(length);
      for (let i = 0; i < 2 * fitting; i++) {
        const offset = i * length;
        client.send(requestBytes({ command: CMD.WRITE, offset, data, cookie: BigInt(i) }));
      }
      await until(() => device.waiting.length === fitting);
      await new Promise((resolve) => setTimeout(resolve, 20));
      expect(device.waiting).toHaveLength(fitting);
      device.manual = false;
      device.completeAll();
      for (let i = 0; i < 2 * fitting; i++) expect((await client.reply()).error).toBe(0);
      for (let i = 0; i < 2 * fitting; i++) {
        const at = i * length;
        expect(device.disk.subarray(at, at + length).equals(data)).toBe(true);
      }
    });

    test('bound what a client that does not read is owed', async () => {
      const device = new TestDevice({ sectors: 65_536 });
      pattern(device.disk.length).copy(device.disk);
      const { go } = await serve(device);
      const client = await go();
      client.socket.pause();
      const length = MIB;
      const count = 64;
      for (let i = 0; i < count; i++) {
        const place = { offset: (i % 32) * length, length, cookie: BigInt(i) };
        client.send(requestBytes({ command: CMD.READ, ...place }));
      }
      await until(() => device.seen.length >= ARENA_BYTES / length);
      await new Promise((resolve) => setTimeout(resolve, 50));
      // What the sockets hold is out of the server's memory.
      expect(device.seen.length).toBeLessThanOrEqual(ARENA_BYTES / length + 4);
      client.socket.resume();
      for (let i = 0; i < count; i++) {
        const { cookie, chunk } = await client.reply(() => length);
        expect(cookie).toBe(BigInt(i));
        const at = (i % 32) * length;
        expect(chunk?.type).toBe(SIMPLE_TYPE);
        expect(chunk?.data.equals(device.disk.subarray(at, at + length))).toBe(true);
      }
    });
  });

  test('a mixed load by many requests at once reads what it wrote', async () => {
    const { go } = await serve(await memoryDisk(16 * MIB));
    const clients = [await go(), await go({ structured: true })];
    await Promise.all(
      clients.map(async (client, half) => {
        const base = half * 8 * MIB;
        const lengths = Array.from({ length: 60 }, (_, i) => 512 * (1 + ((i * 37) % 200)));
        let at = base;
        const places = lengths.map((length) => ({ length, at: (at += length) - length }));
        for (const [i, place] of places.entries()) {
          const data = pattern(place.length, i + 1);
          client.send(requestBytes({ command: CMD.WRITE, offset: place.at, data }));
        }
        for (let i = 0; i < places.length; i++) expect((await client.reply()).error).toBe(0);
        for (const [i, place] of places.entries()) {
          const { length } = place;
          const cookie = BigInt(i);
          client.send(requestBytes({ command: CMD.READ, offset: place.at, length, cookie }));
        }
        for (let taken = 0; taken < places.length; taken++) {
          const { cookie, chunk } = await client.reply((c) => places[Number(c)].length);
          const i = Number(cookie);
          const data = chunk?.type === SIMPLE_TYPE ? chunk.data : chunk?.data.subarray(8);
          expect(data?.equals(pattern(places[i].length, i + 1))).toBe(true);
        }
      }),
    );
  });
}
