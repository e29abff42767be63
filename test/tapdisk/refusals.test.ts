/** What a tapdisk process refuses its toolstack and its admins, on a real volume and ring. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { silentLog } from '../../lib/control/log';
import { ShmDevice } from '../../lib/frontend/shm/shm-device';
import { BLKTAP_GEOMETRY } from '../../lib/frontend/shm/shm-geometry';
import { createPool } from '../../lib/pool/create-pool';
import { openPool } from '../../lib/pool/open-pool';
import { TapdiskProcess } from '../../lib/tapdisk/tapdisk-process';
import { makePoolRoom, refusal, type PoolRoom } from '../pool/temporary-pool';

const MIB = 2 ** 20;
const COOKIE = 7;
const MINOR = 1;
const DEVICE = { minor: MINOR, domid: 0 };
const IMAGE = { path: 'main/disk', readOnly: false };

let room: PoolRoom;
let host: TapdiskProcess;
let before: NodeJS.ProcessEnv;

beforeEach(async () => {
  room = makePoolRoom();
  before = { ...process.env };
  const rings = join(room.directory, 'rings');
  mkdirSync(rings, { mode: 0o700 });
  ShmDevice.create(join(rings, `blktap${MINOR}`), BLKTAP_GEOMETRY);
  Object.assign(process.env, room.env, { TAPDISK_TS_DEVICE: `shm:${rings}/blktap%d` });
  await createPool({ name: 'main', path: room.poolPath, storeKind: 'dir', existing: false });
  const pool = await openPool('main');
  await pool.coordination.create({ name: 'disk', sizeBytes: 16 * MIB, chunkBytes: MIB });
  await pool.close();
  host = new TapdiskProcess(silentLog, () => undefined);
  await host.open(COOKIE, IMAGE);
});

afterEach(async () => {
  await host.closeAll();
  process.env = before;
  room.dispose();
});

it('a cookie that is in use', async () => {
  await expect(host.open(COOKIE, IMAGE)).rejects.toEqual(
    refusal('COOKIE_BUSY', `cookie ${COOKIE}`),
  );
  expect(host.openDisks).toBe(1);
});

it('a cookie that nobody opened', async () => {
  await expect(host.close(COOKIE + 1)).rejects.toEqual(
    refusal('DISK_NOT_FOUND', `cookie ${COOKIE + 1}`),
  );
  await expect(host.pause(COOKIE + 1)).rejects.toEqual(refusal('DISK_NOT_FOUND'));
});

it('a volume that another disk of the process has', async () => {
  await expect(host.open(COOKIE + 1, IMAGE)).rejects.toEqual(
    refusal('VOLUME_ATTACHED', `process ${process.pid}`),
  );
});

it('a second ring', async () => {
  await host.connect(COOKIE, DEVICE);
  await expect(host.connect(COOKIE, DEVICE)).rejects.toEqual(
    refusal('DISK_CONNECTED', `blktap${MINOR}`),
  );
  expect(host.list()).toMatchObject([{ state: 'running' }]);
});

it('a ring that is not there, and takes another', async () => {
  await expect(host.connect(COOKIE, { ...DEVICE, minor: 9 })).rejects.toEqual(
    refusal('DEVICE_NOT_FOUND', 'blktap9'),
  );
  await host.connect(COOKIE, DEVICE);
});

it('a second recording, and the end of one that is not', async () => {
  const path = join(room.directory, 'a.trace');
  await expect(host.stopRecording(COOKIE)).rejects.toEqual(refusal('RECORDING_NOT_FOUND'));
  await host.startRecording(COOKIE, { path, payload: 'hash' });
  await expect(host.startRecording(COOKIE, { path: `${path}2`, payload: 'hash' })).rejects.toEqual(
    refusal('RECORDING_BUSY', path),
  );
  expect(await host.stopRecording(COOKIE)).toMatchObject({ path, requests: 0 });
});
