/** A real tapdisk process on a stand-in device: pool, volume and pipes, as a toolstack makes them. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FifoClient } from '../../lib/control/fifo-client';
import { BLKTAP_GEOMETRY, type ShmGeometry } from '../../lib/frontend/shm/shm-geometry';
import { ShmDevice } from '../../lib/frontend/shm/shm-device';
import { createPool } from '../../lib/pool/create-pool';
import { openPool } from '../../lib/pool/open-pool';
import { PROJECT_ROOT } from '../project-root';

/** blktap1's number of `aio`, the type that an admin writes before POOL/VOLUME. */
const DRIVER_TYPE_AIO = 0;
const POOL = 'test';
const VOLUME = 'disk';
const MINOR = 1;
const COOKIE = 7;

export const PROGRAM = join(PROJECT_ROOT, 'bin/tapdisk');

export interface UnderTestOptions {
  readonly sizeBytes: number;
  readonly chunkBytes: number;
  readonly geometry?: ShmGeometry;
  readonly storeKind?: string;
  /** Below which directory to work; the default is the system's for temporary files. */
  readonly below?: string;
  /** Where the pool is to be; the default is in the directory of everything else. */
  readonly poolDirectory?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** Everything lies below one temporary directory; `start` and `kill` may be repeated. */
export class TapdiskUnderTest {
  readonly path = `${POOL}/${VOLUME}`;
  readonly deviceDirectory: string;
  readonly poolDirectory: string;
  /** What every process of this test needs in its environment. */
  readonly env: Readonly<Record<string, string>>;
  pid = 0;
  private client: FifoClient | null = null;

  private constructor(
    readonly directory: string,
    options: UnderTestOptions,
  ) {
    this.deviceDirectory = join(directory, 'rings', `blktap${MINOR}`);
    this.poolDirectory = options.poolDirectory ?? join(directory, 'pool');
    this.env = {
      TAPDISK_TS_CONFIG_DIR: join(directory, 'config'),
      TAPDISK_TS_RUNTIME_DIR: join(directory, 'run'),
      TAPDISK_TS_DEVICE: `shm:${join(directory, 'rings', 'blktap%d')}`,
      TAPDISK_TS_LOG: join(directory, 'tapdisk.log'),
      ...options.env,
    };
  }

  static async create(options: UnderTestOptions): Promise<TapdiskUnderTest> {
    const directory = mkdtempSync(join(options.below ?? tmpdir(), 'tapdisk-ts-'));
    const made = new TapdiskUnderTest(directory, options);
    const { env } = made;
    for (const name of ['rings', 'run', 'fifos']) {
      mkdirSync(join(directory, name), { mode: 0o700 });
    }
    const storeKind = options.storeKind ?? 'dir';
    const path = made.poolDirectory;
    await createPool({ name: POOL, path, storeKind, existing: false }, { env });
    const pool = await openPool(POOL, { env });
    const { sizeBytes, chunkBytes } = options;
    await pool.coordination.create({ name: VOLUME, sizeBytes, chunkBytes });
    await pool.close();
    ShmDevice.create(made.deviceDirectory, options.geometry ?? BLKTAP_GEOMETRY);
    return made;
  }

  /** PID, PARAMS, NEWDEV; resolves when the ring is served. */
  async start(readOnly = false): Promise<void> {
    const client = new FifoClient({ directory: join(this.directory, 'fifos'), minor: MINOR });
    this.client = client;
    await client.spawn({ program: PROGRAM, env: this.env });
    this.pid = await client.pid();
    const image = { path: this.path, readOnly, driverType: DRIVER_TYPE_AIO };
    await client.open(COOKIE, image);
    await client.connect(COOKIE, { minor: MINOR, domid: 0, driverType: DRIVER_TYPE_AIO });
  }

  /** kill -9; resolves when the process is gone. */
  async kill(): Promise<void> {
    process.kill(this.pid, 'SIGKILL');
    await this.gone();
    await this.client?.dispose();
  }

  /** CLOSE; resolves when the process has ended. */
  async stop(): Promise<void> {
    this.client?.closeDisk(COOKIE, DRIVER_TYPE_AIO);
    await this.gone();
    await this.client?.dispose();
  }

  /** What the process has logged so far. */
  log(): string {
    return readFileSync(this.env.TAPDISK_TS_LOG, 'utf8');
  }

  /** Removes everything; the process must have ended. */
  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }

  private async gone(deadlineMs = 30_000): Promise<void> {
    const until = performance.now() + deadlineMs;
    while (isAlive(this.pid)) {
      if (performance.now() > until) throw new Error(`process ${this.pid} does not end`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
}

/** A zombie counts as gone: it holds nothing any more. */
function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(')') + 2));
  } catch {
    return false;
  }
}
