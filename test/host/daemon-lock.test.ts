/** One daemon a host, and others know whether it runs. */
import { mkdtempSync, rmSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { mustHaveDaemon, takeDaemonLock } from '../../lib/host/daemon-lock';

const runtime = mkdtempSync(path.join(tmpdir(), 'tapdisk-ts-lock-'));
const env = { TAPDISK_TS_RUNTIME_DIR: runtime };
afterAll(() => rmSync(runtime, { recursive: true, force: true }));

const coded = (code: string): unknown => expect.objectContaining({ code });

test('DAEMON_NOT_RUNNING until one has the lock, DAEMON_BUSY for a second', () => {
  expect(() => mustHaveDaemon(env)).toThrow(coded('DAEMON_NOT_RUNNING') as Error);
  expect(() => mustHaveDaemon({ TAPDISK_TS_RUNTIME_DIR: path.join(runtime, 'none') })).toThrow(
    coded('DAEMON_NOT_RUNNING') as Error,
  );
  takeDaemonLock(runtime);
  expect(() => mustHaveDaemon(env)).not.toThrow();
  expect(() => takeDaemonLock(runtime)).toThrow(`process ${process.pid}`);
  expect(() => takeDaemonLock(runtime)).toThrow(coded('DAEMON_BUSY') as Error);
  // Children, which the disks' processes are, do not keep it.
  const { stdout } = spawnSync('ls', ['-l', '/proc/self/fd'], { encoding: 'utf8' });
  expect(stdout).not.toContain('daemon.lock');
});
