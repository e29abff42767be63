/** A process that is to end is asked ever less gently, and no longer than it needs. */
import { spawn, type ChildProcess } from 'node:child_process';
import { silentLog } from '../../lib/control/log';
import { endProcess } from '../../lib/host/end-process';

const NO_SOCKET = '/nonexistent/vbd.sock';
const LIMITS = { byItselfMs: 20, bySocketMs: 20, bySigtermMs: 300 };
const never = new AbortController().signal;

async function start(script: string): Promise<{ child: ChildProcess; end: Promise<string> }> {
  const child = spawn(process.execPath, ['-e', `${script}; console.log('up')`]);
  const end = new Promise<string>((resolve) =>
    child.once('exit', (code, signal) => resolve(signal ?? String(code))),
  );
  await new Promise((resolve) => child.stdout.once('data', resolve));
  return { child, end };
}

test('by itself', async () => {
  const { child, end } = await start('setTimeout(() => process.exit(3), 10)');
  await endProcess(child.pid!, NO_SOCKET, silentLog, never, { ...LIMITS, byItselfMs: 20_000 });
  expect(await end).toBe('3');
});

test('by SIGTERM', async () => {
  const { child, end } = await start('setInterval(() => {}, 1000)');
  await endProcess(child.pid!, NO_SOCKET, silentLog, never, { ...LIMITS, bySigtermMs: 20_000 });
  expect(await end).toBe('SIGTERM');
});

test('by SIGKILL', async () => {
  const { child, end } = await start(
    "process.on('SIGTERM', () => {}); setInterval(() => {}, 1000)",
  );
  await endProcess(child.pid!, NO_SOCKET, silentLog, never, LIMITS);
  expect(await end).toBe('SIGKILL');
});

test('not at all, once it is given up', async () => {
  const { child, end } = await start('setInterval(() => {}, 1000)');
  const abandoned = new AbortController();
  const ending = endProcess(child.pid!, NO_SOCKET, silentLog, abandoned.signal, {
    ...LIMITS,
    byItselfMs: 20_000,
  });
  abandoned.abort();
  await ending;
  child.kill('SIGUSR2');
  expect(await end).toBe('SIGUSR2');
});
