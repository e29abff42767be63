/** A process that is ready before its disk is known. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { silentLog } from '../../lib/control/log';
import type { LaunchedTapdisk } from '../../lib/control/start-tapdisk';
import { SpareProcess } from '../../lib/host/spare-process';
import { processIsAlive } from '../../lib/control/process-alive';
import { HostRoom, until } from './host-room';

const made = HostRoom.makeProgram();
afterAll(made.remove);
let runtime: string;
let spare: SpareProcess;
const taken: LaunchedTapdisk[] = [];

beforeEach(() => {
  runtime = path.join(mkdtempSync(path.join(tmpdir(), 'tapdisk-ts-spare-')), 'run');
  mkdirSync(runtime, { mode: 0o700 });
  const env = {
    PATH: process.env.PATH,
    TAPDISK_TS_RUNTIME_DIR: runtime,
    TAPDISK_TS_PROGRAM: made.program,
  };
  spare = new SpareProcess(runtime, env, silentLog);
});
afterEach(async () => {
  await spare.close();
  for (const launched of taken.splice(0)) {
    if (launched.isAlive) process.kill(launched.pid, 'SIGKILL');
    await launched.dispose();
  }
  rmSync(path.dirname(runtime), { recursive: true, force: true });
});

async function take(logName = 'main.web.log'): Promise<LaunchedTapdisk> {
  const launched = await spare.take(logName);
  taken.push(launched);
  return launched;
}

const sockets = (): number => readdirSync(runtime).filter((name) => name.endsWith('.sock')).length;

test('is the one that is taken, with its log; the next is another', async () => {
  spare.prepare();
  await until(
    () => sockets() === 1,
    () => 'none is ready',
  );
  const first = await take();
  expect(sockets()).toBe(1);
  const second = await take();
  expect(second.pid).not.toBe(first.pid);
  const logs = readdirSync(runtime).filter((name) => name.includes('.log'));
  expect(logs.sort()).toEqual(['main.web.log', 'main.web.log.old']);
  const connected = await first.connect(
    { diskPath: 'main/web', readOnly: false, cookie: 0, domid: 5 },
    async (started) => started.pid,
  );
  expect(connected).toBe(first.pid);
});

test('one that has died meanwhile is replaced', async () => {
  spare.prepare();
  await until(
    () => sockets() === 1,
    () => 'none is ready',
  );
  const pid = Number(/vbd-(\d+)/.exec(readdirSync(runtime).join())?.[1]);
  process.kill(pid, 'SIGKILL');
  await until(
    () => !processIsAlive(pid),
    () => 'it lives',
  );
  const launched = await take();
  expect(launched.pid).not.toBe(pid);
  expect(launched.isAlive).toBe(true);
});

test('ends with the daemon, and leaves nothing', async () => {
  spare.prepare();
  await until(
    () => sockets() === 1,
    () => 'none is ready',
  );
  const pid = Number(/vbd-(\d+)/.exec(readdirSync(runtime).join())?.[1]);
  await spare.close();
  await until(
    () => !processIsAlive(pid),
    () => 'it lives',
  );
  expect(readdirSync(runtime)).toEqual([]);
});

test('TAPDISK_SPAWN_FAILED where no process can be started', async () => {
  const broken = new SpareProcess(runtime, { TAPDISK_TS_PROGRAM: '/nonexistent' }, silentLog);
  await expect(broken.take('x.log')).rejects.toMatchObject({ code: 'TAPDISK_SPAWN_FAILED' });
  await broken.close();
  expect(readdirSync(runtime)).toEqual([]);
});
