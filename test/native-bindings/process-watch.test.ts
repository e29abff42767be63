/** The end of a process is told, once, also of one that is no child of ours. */
import { spawn, spawnSync } from 'node:child_process';
import { watchProcess } from '../../native-bindings/process-watch';

const ended = (pid: number): Promise<void> =>
  new Promise((resolve) => {
    watchProcess(pid, resolve);
  });

test('a process that runs: told when it is killed, not before', async () => {
  const child = spawn('sleep', ['60']);
  let told = 0;
  const end = new Promise<void>((resolve) => {
    watchProcess(child.pid!, () => {
      told++;
      resolve();
    });
  });
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(told).toBe(0);
  child.kill('SIGKILL');
  await end;
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(told).toBe(1);
});

test("a process that is not ours: an orphan's end is told", async () => {
  const { stdout } = spawnSync('sh', ['-c', 'sleep 60 >/dev/null 2>&1 & echo $!'], {
    encoding: 'utf8',
  });
  const pid = Number(stdout);
  const end = ended(pid);
  process.kill(pid, 'SIGKILL');
  await end;
});

test('a process that there is not: told', async () => {
  const child = spawn('true');
  await new Promise((resolve) => child.once('exit', resolve));
  await ended(child.pid!);
});

test('nothing is told after stop', async () => {
  const child = spawn('sleep', ['60']);
  let told = 0;
  const watch = watchProcess(child.pid!, () => told++);
  watch.stop();
  watch.stop();
  const exit = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await exit;
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(told).toBe(0);
});
