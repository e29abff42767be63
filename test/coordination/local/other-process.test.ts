/** Locks and maps between real processes, one of which is really killed. */
import type { Coordination } from '../../../lib/coordination/coordination';
import { runTypescript } from '../../native-bindings/run-typescript';
import { CHUNK, loadEntries, WRITE } from '../pool-under-test';
import { makeLocalPool, type LocalPoolUnderTest } from './local-pool';

let pool: LocalPoolUnderTest;
let here: Coordination;
let layer: number;

beforeEach(async () => {
  pool = await makeLocalPool();
  here = await pool.open();
  ({ layer } = await here.create({ name: 'a', sizeBytes: 64 * CHUNK, chunkBytes: CHUNK }));
});
afterEach(() => pool.dispose());

/** `body` has `pool`, the child's own view of the pool. */
const inChild = (body: string) =>
  runTypescript(`
    const { openLocalCoordination } = require('./lib/coordination/local/local-coordination.ts');
    (async () => {
      const pool = await openLocalCoordination({ directory: ${JSON.stringify(pool.directory)} });
      ${body}
    })();
  `);

it('a process that is killed leaves what it committed, and no lock', async () => {
  const child = inChild(`
    const attachment = await pool.attach('a', { readOnly: false });
    attachment.map.commit([{ chunk: 9, layer: attachment.record.layer }], (errno) => {
      console.log(process.pid, errno);
      process.kill(process.pid, 'SIGKILL');
    });
  `);
  expect(child.signal).toBe('SIGKILL');
  expect(child.out).toMatch(/^\d+ 0\n$/);
  expect(await here.owner('a')).toBeNull();
  const attachment = await here.attach('a', WRITE);
  expect(attachment.uncleanBefore).toBe(true);
  expect(attachment.record.epoch).toBe(2);
  expect(await loadEntries(attachment)).toEqual([[9, layer]]);
});

it('a second process is told who has the volume', async () => {
  await here.attach('a', WRITE);
  const child = inChild(`
    console.log((await pool.owner('a')).pid);
    await pool.attach('a', { readOnly: false }).catch((error) => console.log(error.message));
  `);
  expect(child.err).toBe('');
  const [owner, message] = child.out.split('\n');
  expect(owner).toBe(String(process.pid));
  expect(message).toContain(`process ${process.pid} on host `);
});

it('a child process does not inherit the right to a volume', async () => {
  const child = inChild(`
    const attachment = await pool.attach('a', { readOnly: false });
    const { spawn } = require('node:child_process');
    const sleeper = spawn('sleep', ['60'], { stdio: 'ignore', detached: true });
    sleeper.unref();
    console.log(sleeper.pid);
    process.kill(process.pid, 'SIGKILL');
  `);
  const sleeper = Number(child.out);
  try {
    process.kill(sleeper, 0);
    const attachment = await here.attach('a', WRITE);
    expect(attachment.uncleanBefore).toBe(true);
  } finally {
    process.kill(sleeper, 'SIGKILL');
  }
});
