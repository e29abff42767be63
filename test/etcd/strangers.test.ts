/** Endpoints where something listens that is no etcd, or nothing does: each call ends in its time. */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server as NetServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import type { Etcd } from '../../lib/etcd/etcd';
import { openEtcd } from '../../lib/etcd/open-etcd';

const SETTING = { deadlineMs: 300 };

let etcd: Etcd;
let servers: NetServer[];
let sockets: Set<Socket>;
beforeEach(() => {
  servers = [];
  sockets = new Set();
});
afterEach(async () => {
  await etcd.close();
  for (const socket of sockets) socket.destroy();
  for (const server of servers) await new Promise((resolve) => server.close(resolve));
});

async function listen(onConnection: (socket: Socket) => void): Promise<string> {
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => sockets.delete(socket));
    onConnection(socket);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  servers.push(server);
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const open = async (...endpoints: string[]): Promise<void> => {
  etcd = await openEtcd({ endpoints, prefix: '/strangers/' }, {}, { firstMember: 0 });
};
const read = (): Promise<unknown> => etcd.range({ key: 'a' }, SETTING);

test('nobody listens', async () => {
  const endpoint = await listen(() => undefined);
  await new Promise((resolve) => servers.pop()!.close(resolve));
  await open(endpoint);
  for (let count = 0; count < 3; count++) {
    await expect(read()).rejects.toMatchObject({
      code: 'ETCD_UNAVAILABLE',
      transient: true,
      message: expect.stringMatching(/ECONNREFUSED.*check that most members run/) as string,
    });
  }
});

test('something listens and says nothing', async () => {
  await open(await listen(() => undefined));
  await expect(read()).rejects.toMatchObject({ code: 'ETCD_TIMEOUT', transient: true });
});

test('something answers in another language', async () => {
  await open(await listen((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')));
  await expect(read()).rejects.toMatchObject({
    code: expect.stringMatching(/^ETCD_(UNAVAILABLE|TIMEOUT)$/) as string,
  });
});

test('a gRPC server serves other things', async () => {
  const server = new Server();
  const port = await new Promise<number>((resolve, reject) => {
    const done = (error: Error | null, bound: number): void => {
      if (error === null) resolve(bound);
      else reject(error);
    };
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), done);
  });
  await open(`http://127.0.0.1:${port}`);
  await expect(read()).rejects.toMatchObject({ code: 'ETCD_FAILED', transient: false });
  server.forceShutdown();
});

test('a call that is silent does not wait for the next one’s connection', async () => {
  // Counts what comes beside the connections that only try whether anybody listens.
  let spoken = 0;
  const endpoint = await listen((socket) => socket.once('data', () => spoken++));
  await open(endpoint);
  for (let count = 0; count < 3; count++) {
    await expect(read()).rejects.toMatchObject({ code: 'ETCD_TIMEOUT' });
  }
  expect(spoken).toBe(3);
});

test('all calls end at once when it is closed, also those that connect', async () => {
  await open(await listen(() => undefined), 'http://127.0.0.1:1');
  const setting = { deadlineMs: 60_000 };
  const calls = [
    etcd.range({ key: 'a' }, setting),
    etcd.keepAlive('1', setting),
    etcd.grantLease(1_000, setting),
  ].map((call) => expect(call).rejects.toMatchObject({ code: 'ETCD_CLOSED' }));
  const ended: Error[] = [];
  etcd.watch({ key: 'a' }, 1, { onEvents: () => undefined, onEnded: (error) => ended.push(error) });
  await sleep(50);
  await etcd.close();
  await Promise.all(calls);
  await sleep(0);
  // Whoever closes knows that nothing more will come.
  expect(ended).toEqual([]);
  await expect(read()).rejects.toMatchObject({ code: 'ETCD_CLOSED' });
});
