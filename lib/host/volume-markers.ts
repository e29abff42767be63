/**
 * Empty files, one for each volume of this host's pools, so that a plain raw disk line of a guest's
 * configuration can name a volume: `disk = ['/run/tapdisk-ts/volumes/main/web,raw,xvda,rw']`.
 *
 * libxl wants a file there; nobody reads it, and with no bytes it cannot be taken for a disk.
 */
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { runtimeDirectory } from '../control/runtime-dir';
import { sentenceOf } from '../errors';
import type { Log } from '../control/log';
import { poolsDirectory } from '../pool/config-directory';
import { openPool } from '../pool/open-pool';
import { listPoolNames } from '../pool/pool-config';

type Environment = Readonly<Record<string, string | undefined>>;

export function markersDirectory(env: Environment): string {
  return path.join(runtimeDirectory(env), 'volumes');
}

/** "pool/volume" of a marker's path, whether or not the file is there; null: it is no marker's. */
export function volumeOfMarker(directory: string, file: string): string | null {
  if (!path.isAbsolute(file)) return null;
  const parts = path.relative(directory, path.normalize(file)).split(path.sep);
  return parts.length === 2 && parts[0] !== '..' ? parts.join('/') : null;
}

/**
 * For a volume that was just made, where a daemon of this host keeps markers, so that it need not
 * be waited for. Where that fails the daemon's next look mends it.
 */
export function addMarker(env: Environment, pool: string, volume: string): void {
  try {
    const directory = markersDirectory(env);
    if (!existsSync(directory)) return;
    mkdirSync(path.join(directory, pool), { recursive: true, mode: 0o700 });
    writeFileSync(path.join(directory, pool, volume), '', { mode: 0o600 });
  } catch {
    return;
  }
}

/** Makes the directory where it is missing, and its files those of the volumes that there are. */
export async function refreshMarkers(env: Environment, log: Log): Promise<void> {
  const directory = markersDirectory(env);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const pools = new Set(await listPoolNames(poolsDirectory(env)));
  for (const name of readdirSync(directory)) {
    if (!pools.has(name)) rmSync(path.join(directory, name), { recursive: true, force: true });
  }
  for (const pool of pools) {
    try {
      keepOnly(path.join(directory, pool), await volumesOf(pool, env));
    } catch (error) {
      // A pool that is not reached now: its guests' disk lines stay valid.
      log.warn({ pool }, `its volumes are not known: ${sentenceOf(error)}`);
    }
  }
}

async function volumesOf(name: string, env: Environment): Promise<string[]> {
  const pool = await openPool(name, { env });
  try {
    return await pool.coordination.names();
  } finally {
    await pool.close();
  }
}

function keepOnly(directory: string, names: readonly string[]): void {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const wanted = new Set(names);
  const there = new Set(readdirSync(directory));
  for (const name of there) if (!wanted.has(name)) rmSync(path.join(directory, name));
  for (const name of wanted) {
    if (!there.has(name)) writeFileSync(path.join(directory, name), '', { mode: 0o600 });
  }
}
