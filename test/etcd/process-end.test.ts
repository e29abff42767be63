/** A process that closed its cluster ends, whatever its members do. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { join } from 'node:path';
import { PROJECT_ROOT } from '../project-root';

const PROGRAM = `
const { openEtcd } = require(process.argv[1]);
(async () => {
  const etcd = await openEtcd({ endpoints: [process.argv[2]], prefix: '/x/' }, {});
  for (let count = 0; count < 2; count++) {
    await etcd.range({ key: 'a' }, { deadlineMs: 200 }).catch(({ code }) => console.log(code));
  }
  await etcd.close();
})();`;

/** The compiled program, which make test builds first. */
const compiled = join(PROJECT_ROOT, 'dist/lib/etcd/open-etcd.js');

test.each(['http', 'https'])('of a member that accepts %s and is silent', async (scheme) => {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => undefined);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const endpoint = `${scheme}://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const child = spawn(process.execPath, ['-e', PROGRAM, compiled, endpoint]);
  let said = '';
  child.stdout.on('data', (data: Buffer) => (said += data.toString()));
  child.stderr.on('data', (data: Buffer) => (said += data.toString()));
  // Ended by jest's own time-out where it does not end by itself.
  const [code] = (await once(child, 'exit')) as [number];
  expect(said).toBe('ETCD_TIMEOUT\nETCD_TIMEOUT\n');
  expect(code).toBe(0);
  for (const socket of sockets) socket.destroy();
  server.close();
});
