/** Volumes served over NBD for clients that nobody here wrote, and how those are run. */
import { execFile } from 'node:child_process';
import { accessSync, constants, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { silentLog } from '../../lib/control/log';
import type { ListenAddress } from '../../lib/frontend/nbd/listen-address';
import type { NbdServerOptions } from '../../lib/frontend/nbd/nbd-server';
import { createPool } from '../../lib/pool/create-pool';
import { openPool } from '../../lib/pool/open-pool';
import { NbdDisks } from '../../lib/tapdisk/nbd-disks';

export const MIB = 2 ** 20;
const POOL = 'pool';
const COMMAND_TIMEOUT_MS = 60_000;
const OUTPUT_BYTES_MAX = 16 * MIB;

/** The programs that are not installed here. */
export function missingPrograms(...names: string[]): string[] {
  const directories = (process.env.PATH ?? '').split(delimiter);
  return names.filter((name) => !directories.some((directory) => canRun(join(directory, name))));
}

function canRun(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Debian's own python3 first: nbdsh is written in it, and no other has its module. */
const env = { ...process.env, PATH: ['/usr/bin', process.env.PATH].join(delimiter) };

/** Runs a program to its end, which must be a good one; returns what it printed. */
export async function run(program: string, ...options: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(
      program,
      options,
      { timeout: COMMAND_TIMEOUT_MS, maxBuffer: OUTPUT_BYTES_MAX, env },
      (error, out, err) => {
        if (error === null) resolve(out);
        else reject(new Error(`${program} ${options.join(' ')}: ${error.message}\n${out}${err}`));
      },
    );
  });
}

export interface NbdService {
  /** For files of the test. */
  readonly directory: string;
  /** The socket that it listens on. */
  readonly socket: string;
  /** Of the first volume. */
  readonly uri: string;
  readonly disks: NbdDisks;
  /** Codes of the connections that failed. */
  readonly failures: string[];
  end(): Promise<void>;
}

/** Volumes of these sizes, by name, on a directory store. */
export async function serveVolumes(
  volumes: Readonly<Record<string, number>>,
  options: { tls?: NbdServerOptions['tls']; readOnly?: boolean } = {},
): Promise<NbdService> {
  const directory = mkdtempSync(join(tmpdir(), 'tapdisk-ts-nbd-'));
  const env = { TAPDISK_TS_CONFIG_DIR: join(directory, 'config') };
  mkdirSync(join(directory, 'config'), { mode: 0o700 });
  const path = join(directory, 'pool');
  await createPool({ name: POOL, path, storeKind: 'dir', existing: false }, { env });
  const pool = await openPool(POOL, { env });
  for (const [name, sizeBytes] of Object.entries(volumes)) {
    await pool.coordination.create({ name, sizeBytes, chunkBytes: MIB });
  }
  await pool.close();
  const failures: string[] = [];
  const address: ListenAddress = { kind: 'unix', path: join(directory, 'nbd.sock') };
  let serving: readonly string[] = [];
  const disks = await NbdDisks.open({
    volumes: Object.keys(volumes).map((name) => `${POOL}/${name}`),
    readOnly: options.readOnly ?? false,
    env,
    addresses: [address],
    server: {
      tls: options.tls ?? null,
      onConnectionFailed: (reason) => failures.push(reason.code),
    },
    log: silentLog,
    onServing: (uris) => (serving = uris),
    onUnused: () => undefined,
    onFailed: () => undefined,
  });
  disks.begin();
  return {
    directory,
    socket: address.path,
    uri: serving[0],
    disks,
    failures,
    async end() {
      await disks.closeAll();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
