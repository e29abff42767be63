/** A process goes on with its disk when the program's files are replaced, as an upgrade does. */
import { cpSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { callProcess } from '../../lib/control/socket-client';
import { BLKIF_RSP_OKAY } from '../../lib/ring';
import { PROJECT_ROOT } from '../project-root';
import { SimpleGuest } from './simple-guest';
import { COOKIE, TapdiskUnderTest } from './tapdisk-under-test';

const MIB = 2 ** 20;
const SECTOR_BYTES = 512;
const data = Buffer.alloc(4096, 0x5a);

let installed: string;
let tapdisk: TapdiskUnderTest;
let guest: SimpleGuest | null = null;

beforeEach(async () => {
  installed = mkdtempSync(join(tmpdir(), 'tapdisk-ts-installed-'));
  const program = join(installed, 'program');
  mkdirSync(join(program, 'dist'), { recursive: true });
  for (const part of ['bin', 'package.json', 'dist/lib', 'dist/native-bindings']) {
    cpSync(join(PROJECT_ROOT, part), join(program, part), { recursive: true });
  }
  for (const part of ['node_modules', 'native-bindings']) {
    symlinkSync(join(PROJECT_ROOT, part), join(program, part));
  }
  tapdisk = await TapdiskUnderTest.create({
    sizeBytes: 16 * MIB,
    chunkBytes: MIB,
    program: join(program, 'bin/tapdisk'),
  });
});

afterEach(async () => {
  guest?.close();
  guest = null;
  await tapdisk.stop();
  tapdisk.remove();
  rmSync(installed, { recursive: true, force: true });
});

/** All of it, as nothing of another version's may be loaded either. */
function takeProgramAway(): void {
  renameSync(join(installed, 'program'), join(installed, 'gone'));
}

test('all that can be asked of a disk works when the program is gone', async () => {
  await tapdisk.start();
  takeProgramAway();
  guest = await SimpleGuest.open(tapdisk.deviceDirectory);
  const socket = tapdisk.socketOf(tapdisk.pid);
  const disk = { cookie: COOKIE };
  const trace = join(tapdisk.directory, 'disk.trace');
  await callProcess(socket, 'startRecording', { ...disk, path: trace, payload: 'hash' });
  expect(await guest.write(0, data)).toBe(BLKIF_RSP_OKAY);
  expect((await guest.read(0, 8)).data.equals(data)).toBe(true);
  expect(await guest.flush()).toBe(BLKIF_RSP_OKAY);
  expect(await guest.discard(0, (2 * MIB) / SECTOR_BYTES)).toBe(BLKIF_RSP_OKAY);
  const recorded = await callProcess(socket, 'stopRecording', disk);
  expect(recorded).toMatchObject({ requests: 4, endReason: 'stopped' });
  const resized = await callProcess(socket, 'resize', { ...disk, size: { byBytes: MIB } });
  expect(resized).toMatchObject({ sizeBytes: 17 * MIB });
  await callProcess(socket, 'pause', disk);
  await callProcess(socket, 'resume', disk);
  expect(await callProcess(socket, 'statistics', disk)).toMatchObject({ state: 'running' });
  expect(await tapdisk.status(tapdisk.pid)).toMatchObject({ state: 'running' });
  const refused = callProcess(socket, 'handOver', disk);
  await expect(refused).rejects.toMatchObject({ code: 'STANDBY_NOT_FOUND' });
  await callProcess(socket, 'detach', disk);
});

test('a standby takes over when the program is gone', async () => {
  await tapdisk.start();
  await tapdisk.standBy();
  takeProgramAway();
  guest = await SimpleGuest.open(tapdisk.deviceDirectory);
  expect(await guest.write(0, data)).toBe(BLKIF_RSP_OKAY);
  await tapdisk.handOver();
  expect((await guest.read(0, 8)).data.equals(data)).toBe(true);
});
