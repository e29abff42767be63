import { execFile, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { transformFileSync } from '@swc/core';
import { processIsAlive } from '../../lib/control/process-alive';
import { temporaryDirectory } from './temporary-directory';

/** A launcher like bin/tapdisk whose serving part notes what it got, and waits to be told to end. */
function launcher(): { directory: string; script: string; note: string } {
  const directory = temporaryDirectory();
  const source = path.join(__dirname, '../../lib/control/daemonise.ts');
  const compiled = transformFileSync(source, {
    swcrc: false,
    jsc: { parser: { syntax: 'typescript' }, target: 'es2022' },
    module: { type: 'commonjs' },
  });
  writeFileSync(path.join(directory, 'daemonise.js'), compiled.code);
  const script = path.join(directory, 'tapdisk');
  const note = path.join(directory, 'note');
  writeFileSync(
    script,
    `#!/usr/bin/env node
     const fs = require('node:fs');
     const { daemonise } = require('./daemonise.js');
     const fifos = daemonise(process.argv.slice(2), __filename);
     process.stdout.write('to the log\\n');
     fs.writeFileSync(${JSON.stringify(`${note}.new`)}, JSON.stringify({
       fifos, pid: process.pid, cwd: process.cwd(), marker: process.env.TAPDISK_TS_DAEMON ?? null,
       session: fs.readFileSync('/proc/self/stat', 'utf8').split(') ')[1].split(' ')[3],
     }));
     fs.renameSync(${JSON.stringify(`${note}.new`)}, ${JSON.stringify(note)});
     setTimeout(() => undefined, 60000);`,
  );
  return { directory, script, note };
}

interface Note {
  fifos: { readFifo: string; writeFifo: string };
  pid: number;
  cwd: string;
  marker: string | null;
  session: string;
}

async function noteIn(file: string): Promise<Note> {
  const deadline = Date.now() + 10_000;
  while (!existsSync(file)) {
    if (Date.now() > deadline) throw new Error('the background process wrote nothing');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return JSON.parse(readFileSync(file, 'utf8')) as Note;
}

test.each([[[]], [['one']], [['one', 'two', 'three']]])(
  'arguments %j are the reference`s usage and exit 255',
  (argv) => {
    const { script } = launcher();
    const ended = spawnSync(process.execPath, [script, ...argv], { encoding: 'utf8' });
    expect(ended.status).toBe(255);
    expect(ended.stderr).toBe('blktap-utils: v1.0.0\nusage: tapdisk <READ fifo> <WRITE fifo>\n');
    expect(ended.stdout).toBe('');
  },
);

test('the launched process exits 0 while the background one lives on in its own session', async () => {
  const { directory, script, note } = launcher();
  mkdirSync(path.join(directory, 'run'));
  const log = path.join(directory, 'log');
  const ended = spawnSync(process.execPath, [script, 'run/in', '/abs/out'], {
    encoding: 'utf8',
    cwd: directory,
    env: { ...process.env, TAPDISK_TS_LOG: log, TAPDISK_TS_DAEMON: 'fork' },
  });
  expect(ended).toMatchObject({ status: 0, stdout: '', stderr: '' });
  const background = await noteIn(note);
  try {
    expect(processIsAlive(background.pid)).toBe(true);
    expect(background.pid).not.toBe(ended.pid);
    expect(background.session).toBe(String(background.pid));
    expect(background.fifos).toEqual({
      readFifo: path.join(directory, 'run/in'),
      writeFifo: '/abs/out',
    });
    expect(background.cwd).toBe('/');
    expect(background.marker).toBeNull();
    expect(readFileSync(log, 'utf8')).toBe('to the log\n');
  } finally {
    process.kill(background.pid, 'SIGKILL');
  }
});

test('a child of process 1 serves in place', async () => {
  const { directory, script, note } = launcher();
  const orphan = path.join(directory, 'orphan.js');
  writeFileSync(
    orphan,
    `const timer = setInterval(() => {
       if (process.ppid === Number(process.argv[2])) return;
       clearInterval(timer);
       process.argv = [process.execPath, ${JSON.stringify(script)}, '/in', '/out'];
       if (process.ppid === 1) require(${JSON.stringify(script)});
       else require('node:fs').writeFileSync(${JSON.stringify(note)}, '{"pid":0}');
     }, 5);`,
  );
  const parent = `require('node:child_process').spawn(process.execPath,
    [${JSON.stringify(orphan)}, String(process.pid)], { detached: true, stdio: 'ignore' }).unref()`;
  await promisify(execFile)(process.execPath, ['-e', parent], { cwd: directory });
  const served = await noteIn(note);
  // Where a subreaper takes the orphans in, none is ever left to process 1: nothing to see there.
  if (served.pid === 0) return;
  process.kill(served.pid, 'SIGKILL');
  expect(served.cwd).toBe(directory);
  expect(served.fifos).toEqual({ readFifo: '/in', writeFifo: '/out' });
});
