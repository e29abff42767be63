/** What a client can do to the server that it should not be able to do: nothing. */
import { connect } from 'node:net';
import { join } from 'node:path';
import {
  NEGOTIATION_OUTPUT_BYTES_MAX,
  OPTION_BYTES_MAX,
  PAYLOAD_BYTES_MAX,
} from '../../../lib/frontend/nbd/limits';
import { NbdServer } from '../../../lib/frontend/nbd/nbd-server';
import { temporaryDirectory } from '../temporary-directory';
import { CMD, infoQuery, NbdClient, OPT, optionRequest, requestBytes, u32 } from './nbd-client';
import { serve, TestDevice, type TestServer, until } from './test-server';

/** A client that came before still is served, and one that comes now is. */
async function expectServed(server: TestServer, earlier: NbdClient): Promise<void> {
  for (const client of [earlier, await server.go()]) {
    expect(await client.writeData(512, Buffer.alloc(512, 'w'))).toBe(0);
    expect((await client.readData(512, 512)).toString()).toBe('w'.repeat(512));
  }
}

describe('a connection alone is ended', () => {
  test.each<[string, (client: NbdClient) => Promise<void>]>([
    ['by unknown flags', async (client) => void (await client.greet(4))],
    [
      'by an option without its magic',
      async (client) => {
        await client.greet();
        client.send(Buffer.alloc(16));
      },
    ],
    [
      'by another protocol',
      async (client) => client.send(Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')),
    ],
    [
      'by an option of 4 GiB',
      async (client) => {
        await client.greet();
        client.send(optionRequest(OPT.GO, Buffer.alloc(0), 0xffffffff));
      },
    ],
    [
      'by an option beyond the limit',
      async (client) => {
        await client.greet();
        client.send(optionRequest(77, Buffer.alloc(0), OPTION_BYTES_MAX + 1));
      },
    ],
    [
      'by a request without its magic',
      async (client) => {
        await client.greet();
        await client.choose();
        client.send(Buffer.alloc(28));
      },
    ],
    [
      'by an option after the negotiation',
      async (client) => {
        await client.greet();
        await client.choose();
        client.send(optionRequest(OPT.LIST, Buffer.alloc(12)));
      },
    ],
    [
      'by a write of 4 GiB',
      async (client) => {
        await client.greet();
        await client.choose();
        client.send(requestBytes({ command: CMD.WRITE, length: 0xfffffe00 }));
      },
    ],
    [
      'by a write beyond the limit',
      async (client) => {
        await client.greet();
        await client.choose();
        client.send(requestBytes({ command: CMD.WRITE, length: PAYLOAD_BYTES_MAX + 512 }));
      },
    ],
    [
      'by what follows a sound request',
      async (client) => {
        await client.greet();
        await client.choose();
        const good = requestBytes({ command: CMD.READ, length: 512 });
        client.send(Buffer.concat([good, good, Buffer.alloc(28, 0xff)]));
      },
    ],
  ])('%s', async (_what, misbehave) => {
    const device = new TestDevice();
    const server = await serve(device);
    const earlier = await server.go();
    const bad = await server.connect();
    await misbehave(bad);
    await bad.closed;
    expect(server.failures).toEqual(['NBD_PROTOCOL']);
    await expectServed(server, earlier);
    expect(device.leaked).toBe(0);
  });

  test('by silence in the negotiation', async () => {
    const server = await serve(new TestDevice(), { negotiationTimeoutMs: 30 });
    const earlier = await server.go();
    const silent = [await server.connect(), await server.connect(), await server.connect()];
    await silent[1].greet();
    silent[1].send(Buffer.from('IHAVE'));
    await silent[2].greet();
    silent[2].send(optionRequest(OPT.GO, infoQuery('', []).subarray(0, 3), 6));
    for (const client of silent) await client.closed;
    expect(server.failures).toEqual(Array(3).fill('NBD_NEGOTIATION_TIMEOUT'));
    await expectServed(server, earlier);
  });

  test('by options without end that make no progress', async () => {
    const server = await serve(new TestDevice(), { negotiationTimeoutMs: 50 });
    const busy = await server.connect();
    await busy.greet();
    const asking = setInterval(() => busy.send(optionRequest(OPT.LIST, Buffer.alloc(0))), 5);
    await busy.closed;
    clearInterval(asking);
    expect(server.failures).toEqual(['NBD_NEGOTIATION_TIMEOUT']);
  });

  test('by asking and not reading the answers', async () => {
    const server = await serve(new TestDevice());
    const deaf = await server.connect();
    await deaf.greet();
    deaf.socket.pause();
    const many = Buffer.concat(Array(5000).fill(optionRequest(OPT.LIST, Buffer.alloc(0))));
    for (let sent = 0; sent < 4 * NEGOTIATION_OUTPUT_BYTES_MAX; sent += many.length) {
      deaf.send(many);
    }
    await until(() => server.failures.length > 0);
    expect(server.failures).toEqual(['NBD_PROTOCOL']);
  });

  test.each<[string, Buffer]>([
    ['half a header', requestBytes({ command: CMD.READ, length: 512 }).subarray(0, 14)],
    [
      'half a payload',
      requestBytes({ command: CMD.WRITE, data: Buffer.alloc(4096) }).subarray(0, 99),
    ],
    ['half a large payload', requestBytes({ command: CMD.WRITE, length: 1 << 20 })],
    [
      'half a payload that is passed over',
      requestBytes({ command: CMD.WRITE, offset: 1, data: Buffer.alloc(4096) }).subarray(0, 99),
    ],
  ])('by silence after %s', async (_what, bytes) => {
    const device = new TestDevice();
    const stall = { stallTimeoutMs: 30, stallCheckIntervalMs: 5 };
    const server = await serve(device, stall);
    const earlier = await server.go();
    const bad = await server.go();
    bad.send(bytes);
    await bad.closed;
    expect(server.failures).toEqual(['NBD_STALLED']);
    await expectServed(server, earlier);
    expect(device.leaked).toBe(0);
  });

  test('by not taking its replies', async () => {
    const device = new TestDevice({ sectors: 65_536 });
    const server = await serve(device, { stallTimeoutMs: 30, stallCheckIntervalMs: 5 });
    const earlier = await server.go();
    const deaf = await server.go();
    deaf.socket.pause();
    for (let i = 0; i < 20; i++) deaf.send(requestBytes({ command: CMD.READ, length: 1 << 20 }));
    await until(() => server.failures.length > 0);
    expect(server.failures).toEqual(['NBD_STALLED']);
    await expectServed(server, earlier);
    expect(device.leaked).toBe(0);
  });
});

test('a client may be silent between requests, or wait for the store, for ever', async () => {
  const device = new TestDevice({ manual: true });
  const server = await serve(device, { stallTimeoutMs: 10, stallCheckIntervalMs: 2 });
  const idle = await server.go();
  const waiting = await server.go();
  waiting.send(requestBytes({ command: CMD.READ, length: 512 }));
  await until(() => device.waiting.length === 1);
  await new Promise((resolve) => setTimeout(resolve, 60));
  device.manual = false;
  device.completeAll();
  expect((await waiting.reply(() => 512)).error).toBe(0);
  await idle.readData(0, 512);
  expect(server.failures).toEqual([]);
});

test('connections beyond the limit are closed, and those within it served', async () => {
  const server = await serve(new TestDevice(), { connectionsMax: 3 });
  const first = await server.go();
  await server.connect();
  await server.connect();
  const refused = await Promise.all(Array.from({ length: 200 }, () => server.connect()));
  await Promise.all(refused.map(({ closed }) => closed));
  expect(server.failures).toEqual(Array(200).fill('NBD_CONNECTIONS_MAX'));
  expect(server.server.counters).toEqual({ connections: 3, accepted: 203, failed: 200 });
  expect((await first.readData(0, 512)).length).toBe(512);
});

test('a connection that goes away makes room for another', async () => {
  const server = await serve(new TestDevice(), { connectionsMax: 1 });
  for (let i = 0; i < 20; i++) {
    const client = await server.go();
    await client.readData(0, 512);
    client.destroy();
    await until(() => server.server.counters.connections === 0);
  }
  // None of them was told of as a failure that it was not.
  expect(server.failures.filter((code) => code !== 'NBD_CONNECTION_BROKEN')).toEqual([]);
});

test('a client that vanishes with requests in flight harms nobody', async () => {
  const device = new TestDevice({ manual: true });
  const server = await serve(device);
  const gone = await server.go();
  for (let i = 0; i < 30; i++) {
    gone.send(requestBytes({ command: CMD.READ, offset: i * 512, length: 512 }));
    gone.send(requestBytes({ command: CMD.WRITE, offset: i * 512, data: Buffer.alloc(512) }));
  }
  await until(() => device.waiting.length === 60);
  gone.destroy();
  await gone.closed;
  await new Promise((resolve) => setTimeout(resolve, 5));
  device.manual = false;
  device.completeAll();
  await until(() => server.server.counters.connections === 0);
  expect(device.leaked).toBe(0);
  const next = await server.go();
  expect((await next.readData(0, 512)).length).toBe(512);
});

test('the end of a server answers what is in flight, and waits for it', async () => {
  const device = new TestDevice({ manual: true });
  const { server, go } = await serve(device);
  const client = await go();
  const idle = await go();
  const negotiating = await go({ name: 'pool/disk' });
  client.send(requestBytes({ command: CMD.READ, length: 512 }));
  await until(() => device.waiting.length === 1);
  await expect(server.close(20)).rejects.toMatchObject({ code: 'NBD_DRAIN_TIMEOUT' });
  device.completeAll();
  await server.close();
  expect((await client.reply(() => 512)).error).toBe(0);
  for (const one of [client, idle, negotiating]) await one.closed;
});

test('an export that is withdrawn is gone, and the others stay', async () => {
  const { server, connect: connectTo } = await serve({ a: new TestDevice(), b: new TestDevice() });
  const [onA, onB] = [await connectTo(), await connectTo()];
  for (const [client, name] of [
    [onA, 'a'],
    [onB, 'b'],
  ] as const) {
    await client.greet();
    await client.choose({ name });
  }
  await server.withdraw('a');
  await onA.closed;
  expect((await onB.readData(0, 512)).length).toBe(512);
  const late = await connectTo();
  await late.greet();
  const [refusal] = await late.option(OPT.GO, infoQuery('a', []));
  expect(refusal.data.toString()).toBe('there is no export "a"');
});

test('what cannot be listened on is refused', async () => {
  const options = { exports: [], tls: null, onConnectionFailed: () => undefined };
  const path = join(temporaryDirectory(), 'socket');
  const server = await NbdServer.listen([{ kind: 'unix', path }], options);
  await expect(NbdServer.listen([{ kind: 'unix', path }], options)).rejects.toMatchObject({
    code: 'NBD_LISTEN_BUSY',
  });
  await expect(
    NbdServer.listen([{ kind: 'unix', path: `${path}/below` }], options),
  ).rejects.toMatchObject({ code: 'NBD_LISTEN_FAILED' });
  for (const host of ['0.0.0.0', '::', '192.0.2.1']) {
    await expect(NbdServer.listen([{ kind: 'tcp', host, port: 0 }], options)).rejects.toMatchObject(
      { code: 'NBD_TLS_REQUIRED' },
    );
  }
  // It serves on, undisturbed by those.
  await new Promise<void>((resolve) => connect(path, resolve).unref());
  await server.close();
});

/** A generator of its own, so that a seed means the same run for ever. */
function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

test('sessions with random damage end or go on, and harm nobody', async () => {
  const seed = Number(process.env.SEED ?? Date.now() % 1_000_000);
  console.log(`SEED=${seed}`);
  const random = randomOf(seed);
  const device = new TestDevice();
  const server = await serve(device, { stallTimeoutMs: 20, stallCheckIntervalMs: 5 });
  const honest = await server.go();
  for (let session = 0; session < 150; session++) {
    const bytes = Buffer.concat([
      u32(3),
      optionRequest(OPT.STRUCTURED_REPLY, Buffer.alloc(0)),
      optionRequest(OPT.LIST, Buffer.alloc(0)),
      optionRequest(OPT.GO, infoQuery('', [1, 3])),
      ...Array.from({ length: 10 }, (_, i) =>
        requestBytes({
          command: random(9),
          flags: random(4) === 0 ? random(65_536) : 0,
          offset: random(5000) * 512,
          length: 512 * random(100),
          cookie: BigInt(i),
        }),
      ),
    ]);
    for (let damages = random(4); damages > 0; damages--) {
      bytes[random(bytes.length)] = random(256);
    }
    const client = await server.connect();
    client.send(bytes.subarray(0, random(bytes.length)));
    if (random(2) === 0) await new Promise((resolve) => setImmediate(resolve));
    if (random(2) === 0) client.socket.end();
    else client.destroy();
    if (session % 10 === 0) expect((await honest.readData(0, 512)).length).toBe(512);
  }
  await until(() => server.server.counters.connections === 1);
  expect(device.leaked).toBe(0);
  await expectServed(server, honest);
});
