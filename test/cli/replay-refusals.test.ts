/** Disks, models and traces that `tapdisk-ts replay` does not take. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DiskModel } from '../../lib/trace/disk-model';
import { loadPayloadHash } from '../../lib/trace/payload-hash';
import { saveModel } from '../../lib/trace/model-file';
import { openModel } from '../../lib/cli/tracing/replay-model';
import { refusal } from '../pool/temporary-pool';
import { runCommand } from './captured-io';

const OPTIONS = { sectors: 4096, seed: 1, expectZero: true, survives: 'flushed' } as const;

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'tapdisk-ts-replay-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

test('a ring whose front end is the kernel', async () => {
  const trace = join(directory, 'a.trace');
  const env = { TAPDISK_TS_RUNTIME_DIR: join(directory, 'run') };
  const make = ['trace', 'make', trace, '--size', '2M', '--count', '10', '--chunk', '64k'];
  expect(await runCommand(make, { env })).toMatchObject({ exitCode: 0 });
  const replay = ['replay', trace, '--device', '/dev/xen/blktap0', '--json'];
  const { exitCode, err } = await runCommand(replay, { env });
  expect(exitCode).toBe(1);
  expect(JSON.parse(err)).toMatchObject({ error: { code: 'REPLAY_DEVICE_UNSUITABLE' } });
});

test('a disk model of another disk, or of another trace', async () => {
  const path = join(directory, 'disk.model');
  const model = new DiskModel({ ...OPTIONS, hash: await loadPayloadHash() });
  await saveModel(path, model, { requests: 300, position: 10 });
  const trace = { requests: 300, resume: true };
  expect(await openModel(path, OPTIONS, trace)).toMatchObject({ position: 10 });
  await expect(openModel(path, { ...OPTIONS, sectors: 8192 }, trace)).rejects.toEqual(
    refusal('REPLAY_MODEL_MISMATCH', 'a disk of 4096 sectors, and this one has 8192'),
  );
  await expect(openModel(path, OPTIONS, { ...trace, requests: 301 })).rejects.toEqual(
    refusal('REPLAY_MODEL_MISMATCH', 'a trace of 300 requests, and this one has 301'),
  );
});

test('a disk model that cannot be read', async () => {
  const path = join(directory, 'disk.model');
  mkdirSync(path);
  await expect(openModel(path, OPTIONS, { requests: 1, resume: false })).rejects.toEqual(
    refusal('MODEL_READ_FAILED', path),
  );
});
