/** A real tapdisk process on a stand-in device: pool, volume and pipes, as a toolstack makes them. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import type { DiskStatus, HandedOver } from '../../lib/control/disk-host';
import { FifoClient } from '../../lib/control/fifo-client';
import { callProcess } from '../../lib/control/socket-client';
import { socketPathOf } from '../../lib/control/socket-files';
import { BLKTAP_GEOMETRY, type ShmGeometry } from '../../lib/frontend/shm/shm-geometry';
import { createStandIn } from '../../lib/frontend/shm/shm-queues';
import { createEtcdPool } from '../../lib/pool/create-etcd-pool';
import { createPool } from '../../lib/pool/create-pool';
import { openPool } from '../../lib/pool/open-pool';
import { PROJECT_ROOT } from '../project-root';

/** blktap1's number of `aio`, the type that an admin writes before POOL/VOLUME. */
const DRIVER_TYPE_AIO = 0;
const POOL = 'test';
const VOLUME = 'disk';
const MINOR = 1;
export const COOKIE = 7;

export const PROGRAM = join(PROJECT_ROOT, 'bin/tapdisk');

export interface UnderTestOptions {
  readonly sizeBytes: number;
  readonly chunkBytes: number;
  readonly geometry?: ShmGeometry;
  /** Rings of that shape; one unless told. */
  readonly queues?: number;
  readonly storeKind?: string;
  /** Members of the cluster that coordinates; without them the pool is of this host alone. */
  readonly etcdEndpoints?: readonly string[];
  /** Below which directory to work; the default is the system's for temporary files. */
  readonly below?: string;
  /** What is started; the project's own unless told. */
  readonly program?: string;
  /** Where the pool is to be; the default is in the directory of everything else. */
  readonly poolDirectory?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** One process, and the toolstack's end of its pipes. */
interface Running {
  readonly pid: number;
  readonly client: FifoClient;
}

/** Everything lies below one temporary directory; `start` and `kill` may be repeated. */
export class TapdiskUnderTest {
  readonly path = `${POOL}/${VOLUME}`;
  readonly deviceDirectory: string;
  readonly poolDirectory: string;
  private readonly program: string;
  /** What every process of this test needs in its environment. */
  readonly env: Readonly<Record<string, string>>;
  private running: Running | null = null;
  private standby: Running | null = null;
  private starts = 0;

  private constructor(
    readonly directory: string,
    options: UnderTestOptions,
  ) {
    this.deviceDirectory = join(directory, 'rings', `blktap${MINOR}`);
    this.program = options.program ?? PROGRAM;
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
    await made.createPool(options);
    const pool = await openPool(POOL, { env });
    const { sizeBytes, chunkBytes } = options;
    await pool.coordination.create({ name: VOLUME, sizeBytes, chunkBytes });
    await pool.close();
    const { geometry = BLKTAP_GEOMETRY, queues = 1 } = options;
    createStandIn(made.deviceDirectory, geometry, queues);
    return made;
  }

  private async createPool({ storeKind = 'dir', etcdEndpoints }: UnderTestOptions): Promise<void> {
    const { env, poolDirectory: path } = this;
    if (etcdEndpoints === undefined) {
      await createPool({ name: POOL, path, storeKind, existing: false }, { env });
      return;
    }
    const prefix = `/tapdisk-ts-test/${basename(this.directory)}/`;
    const cluster = { endpoints: [...etcdEndpoints], prefix };
    await createEtcdPool({ name: POOL, cluster, path, storeKind: 'dir' }, { env });
  }

  /** Of the process that serves. */
  get pid(): number {
    return this.running?.pid ?? 0;
  }

  get standbyPid(): number {
    return this.standby?.pid ?? 0;
  }

  /** PID, PARAMS, NEWDEV; resolves when the ring is served. */
  async start(readOnly = false): Promise<void> {
    this.running = await this.launch(this.path, readOnly);
  }

  /** A second process, which stands by for the same volume and the same ring. */
  async standBy(): Promise<void> {
    this.standby = await this.launch(`${this.path}?wait`, false);
  }

  /** Asks the serving process to hand the disk to the standby; resolves when it has ended. */
  async handOver(): Promise<HandedOver> {
    const handed = await callProcess(this.socketOf(this.pid), 'handOver', { cookie: COOKIE });
    await this.handedOver();
    return handed;
  }

  /** The standby is the one that serves from now on; resolves when the other process has ended. */
  async handedOver(): Promise<void> {
    await this.end(this.running);
    this.running = this.standby;
    this.standby = null;
  }

  /** What `list --running` knows of a process's disk. */
  async status(pid: number): Promise<DiskStatus> {
    return (await callProcess(this.socketOf(pid), 'list', {})).disks[0];
  }

  socketOf(pid: number): string {
    return socketPathOf(this.env.TAPDISK_TS_RUNTIME_DIR, pid);
  }

  /** kill -9; resolves when the process is gone. */
  async kill(): Promise<void> {
    process.kill(this.pid, 'SIGKILL');
    await this.end(this.running);
  }

  /** CLOSE; resolves when the process has ended. */
  async stop(): Promise<void> {
    for (const one of [this.standby, this.running]) {
      one?.client.closeDisk(COOKIE, DRIVER_TYPE_AIO);
      await this.end(one);
    }
    this.standby = null;
  }

  /** What the process has logged so far. */
  log(): string {
    return readFileSync(this.env.TAPDISK_TS_LOG, 'utf8');
  }

  /** Removes everything; the process must have ended. */
  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }

  private async launch(path: string, readOnly: boolean): Promise<Running> {
    const directory = join(this.directory, 'fifos', String(this.starts++));
    mkdirSync(directory, { mode: 0o700 });
    const client = new FifoClient({ directory, minor: MINOR });
    await client.spawn({ program: this.program, env: this.env });
    const pid = await client.pid();
    await client.open(COOKIE, { path, readOnly, driverType: DRIVER_TYPE_AIO });
    await client.connect(COOKIE, { minor: MINOR, domid: 0, driverType: DRIVER_TYPE_AIO });
    return { pid, client };
  }

  private async end(one: Running | null, deadlineMs = 30_000): Promise<void> {
    if (one === null) return;
    const { pid, client } = one;
    const until = performance.now() + deadlineMs;
    while (isAlive(pid)) {
      if (performance.now() > until) throw new Error(`process ${pid} does not end`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await client.dispose();
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
