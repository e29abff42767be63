import { spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { processIsAlive } from '../../lib/control/process-alive';

test('this process and its parent are alive, one that was waited for is not', () => {
  expect(processIsAlive(process.pid)).toBe(true);
  expect(processIsAlive(process.ppid)).toBe(true);
  expect(processIsAlive(spawnSync('true').pid)).toBe(false);
});

test('a process that has ended and was not waited for is dead', async () => {
  // The shell becomes a sleep, which never waits for the child that the shell started.
  const parent = spawn('sh', ['-c', 'sleep 0.2 & echo $!; exec sleep 60'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  try {
    const pid = Number(
      await new Promise((resolve) => parent.stdout.once('data', (text) => resolve(String(text)))),
    );
    while (!/\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'latin1'))) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    expect(processIsAlive(pid)).toBe(false);
  } finally {
    parent.kill('SIGKILL');
  }
});
