/** share/block-tapdisk-ts as libxl runs it, with doubles of xenstore-read and xenstore-write. */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { takeDaemonLock } from '../../lib/host/daemon-lock';
import { PROJECT_ROOT } from '../project-root';

const AT = 'backend/vbd/5/51712';
let directory: string;

beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'tapdisk-ts-script-'));
  for (const name of ['bin', 'run', path.join('store', AT)]) {
    mkdirSync(path.join(directory, name), { recursive: true, mode: 0o700 });
  }
  program('xenstore-read', 'cat "$STORE/$1"');
  program('xenstore-write', 'while [ $# -gt 0 ]; do printf %s "$2" >"$STORE/$1"; shift 2; done');
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function program(name: string, line: string): void {
  writeFileSync(path.join(directory, 'bin', name), `#!/bin/sh\n${line}\n`, { mode: 0o755 });
}

const nodePath = (name: string): string => path.join(directory, 'store', AT, name);
const write = (name: string, value: string): void => writeFileSync(nodePath(name), value);
const read = (name: string): string | null =>
  existsSync(nodePath(name)) ? readFileSync(nodePath(name), 'utf8') : null;

async function script(action: string): Promise<{ exitCode: number | null; said: string }> {
  const child = spawn(path.join(PROJECT_ROOT, 'share/block-tapdisk-ts'), [action], {
    env: {
      PATH: `${path.join(directory, 'bin')}:${process.env.PATH}`,
      STORE: path.join(directory, 'store'),
      XENBUS_PATH: AT,
      TAPDISK_TS_RUNTIME_DIR: path.join(directory, 'run'),
    },
  });
  let said = '';
  child.stderr.on('data', (text: Buffer) => (said += text.toString()));
  const exitCode = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { exitCode, said };
}

test('add: says connected once a process serves the disk', async () => {
  takeDaemonLock(path.join(directory, 'run'));
  setTimeout(() => write('tapdisk-ts-pid', '1234'), 150);
  expect(await script('add')).toEqual({ exitCode: 0, said: '' });
  expect(read('hotplug-status')).toBe('connected');
});

test('add: passes the daemon’s refusal on', async () => {
  takeDaemonLock(path.join(directory, 'run'));
  write('hotplug-error', 'there is no volume "web" in /srv');
  const { exitCode, said } = await script('add');
  expect([exitCode, said]).toEqual([1, 'block-tapdisk-ts: there is no volume "web" in /srv\n']);
  expect(read('hotplug-status')).toBe('error');
});

test('add: says that no daemon runs', async () => {
  expect((await script('add')).exitCode).toBe(1);
  expect(read('hotplug-error')).toContain('systemctl start tapdisk-ts');
});

test('remove: waits until the process has ended', async () => {
  expect((await script('remove')).exitCode).toBe(0);
  const child = spawn('sleep', ['60']);
  write('tapdisk-ts-pid', String(child.pid));
  let isEnded = false;
  child.once('exit', () => (isEnded = true));
  setTimeout(() => child.kill('SIGKILL'), 200);
  expect((await script('remove')).exitCode).toBe(0);
  expect(isEnded).toBe(true);
});

test('anything else is refused', async () => {
  expect((await script('start')).exitCode).toBe(2);
});
