/** A disk for one replay: a pool, a thin volume and a process of its own, removed afterwards. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { callProcess, findRunningDisk } from '../../control/socket-client';
import { CHUNK_BYTES_DEFAULT } from '../../coordination/limits';
import { createPool } from '../../pool/create-pool';
import { openPool } from '../../pool/open-pool';
import { STORE_KIND_DEFAULT } from '../../pool/store-kinds';
import { SECTOR_BYTES } from '../../sector';
import { attachVolume } from '../running/attach-volume';

const POOL = 'scratch';
const VOLUME = 'disk';
const DIRECTORY_MODE = 0o700;

export interface ScratchDisk {
  /** Of its stand-in ring. */
  readonly ringDirectory: string;
  /** Detaches, and removes everything. */
  remove(): Promise<void>;
}

/** @throws TapdiskError those of creating a pool, a volume, and of attaching it */
export async function makeScratchDisk(
  sectors: number,
  base: Readonly<Record<string, string | undefined>>,
): Promise<ScratchDisk> {
  const directory = mkdtempSync(join(tmpdir(), 'tapdisk-ts-replay-'));
  const removeFiles = (): void => rmSync(directory, { recursive: true, force: true });
  try {
    const env = {
      ...base,
      TAPDISK_TS_CONFIG_DIR: join(directory, 'config'),
      TAPDISK_TS_RUNTIME_DIR: join(directory, 'run'),
    };
    await makeVolume(join(directory, 'pool'), sectors, env);
    const rings = join(directory, 'rings');
    mkdirSync(rings, { mode: DIRECTORY_MODE });
    const volume = `${POOL}/${VOLUME}`;
    const { device } = await attachVolume({
      volume,
      readOnly: false,
      mode: 'attach',
      device: `shm:${rings}`,
      minor: undefined,
      domid: 0,
      log: undefined,
      env,
    });
    return {
      ringDirectory: device.slice('shm:'.length),
      async remove() {
        const { socketPath, disk } = await findRunningDisk(volume, undefined, env);
        await callProcess(socketPath, 'detach', { cookie: disk.cookie });
        removeFiles();
      },
    };
  } catch (error) {
    removeFiles();
    throw error;
  }
}

async function makeVolume(
  path: string,
  sectors: number,
  env: Readonly<Record<string, string | undefined>>,
): Promise<void> {
  await createPool({ name: POOL, path, storeKind: STORE_KIND_DEFAULT, existing: false }, { env });
  const pool = await openPool(POOL, { env });
  try {
    const sizeBytes = Math.max(sectors, 1) * SECTOR_BYTES;
    await pool.coordination.create({ name: VOLUME, sizeBytes, chunkBytes: CHUNK_BYTES_DEFAULT });
  } finally {
    await pool.close();
  }
}
