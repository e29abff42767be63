/** A volume that a tapdisk process serves on a ring in memory, every chunk written, and its client. */
import { openSync, fsyncSync, closeSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { BLKTAP_GEOMETRY, type ShmGeometry } from '../../lib/frontend/shm/shm-geometry';
import { ringsOfStandIn } from '../../lib/frontend/shm/shm-queues';
import { TapdiskUnderTest } from '../e2e/tapdisk-under-test';
import { untilUndone } from './left-behind';
import { loads, type Load, type Path } from './load';
import { layMemory, type MemoryLayout } from './memory-layout';
import { RingClient, type Extent } from './ring-client';
import { type Sample, together } from './sample';
import {
  BENCH_DIRECTORY,
  CHUNK_BYTES,
  DISK_BYTES,
  DURATION_MS,
  KIB,
  MEMORY_DIRECTORY,
} from './settings';

/** blktap's shape, with room for 256 requests. */
export const PLAIN_RING: ShmGeometry = { ...BLKTAP_GEOMETRY, ringPages: 8 };

/** Requests of up to 1 MiB, as modern guests make them. */
export const INDIRECT_RING: ShmGeometry = {
  ...PLAIN_RING,
  addressing: 'page',
  indirectSegmentsMax: 256,
  dataPagesPerSlot: 257,
};

const WARMING_MS = 300;
const WARMING = [...loads('random', 4 * KIB, [1, 32])] as const;

export interface ServeRing {
  readonly path: Path;
  readonly geometry?: ShmGeometry;
  /** Rings of the disk, each with a client of its own; one unless told. */
  readonly queues?: number;
  /** Of the ring and its data pages; gathered unless told. */
  readonly memory?: MemoryLayout;
  readonly storeKind?: string;
  readonly etcdEndpoints?: readonly string[];
  readonly sizeBytes?: number;
  /** Further variables of the serving process. */
  readonly env?: Readonly<Record<string, string>>;
}

export class ServedRing {
  /** Of each ring. */
  private clients: RingClient[] = [];

  private readonly forget: () => void;
  private stopped: (() => void) | null = null;

  private constructor(
    readonly tapdisk: TapdiskUnderTest,
    private readonly poolParent: string,
  ) {
    this.forget = untilUndone(() => this.removeFiles());
  }

  /** A volume that nothing serves yet. */
  static async create(options: ServeRing): Promise<ServedRing> {
    const poolParent = mkdtempSync(join(BENCH_DIRECTORY, 'pool-'));
    const tapdisk = await TapdiskUnderTest.create({
      sizeBytes: options.sizeBytes ?? DISK_BYTES,
      chunkBytes: CHUNK_BYTES,
      geometry: options.geometry ?? PLAIN_RING,
      queues: options.queues ?? 1,
      below: MEMORY_DIRECTORY,
      poolDirectory: join(poolParent, 'pool'),
      ...(options.storeKind !== undefined && { storeKind: options.storeKind }),
      ...(options.etcdEndpoints !== undefined && { etcdEndpoints: options.etcdEndpoints }),
      env: { ...options.env, TAPDISK_TS_DIRECT: options.path === 'hot' ? 'off' : 'on' },
    });
    for (const ring of ringsOfStandIn(tapdisk.deviceDirectory)) {
      layMemory(join(ring, 'ring'), options.memory ?? 'gathered');
    }
    return new ServedRing(tapdisk, poolParent);
  }

  /** A served volume, every chunk of it written and on the disk. */
  static async prepare(options: ServeRing): Promise<ServedRing> {
    const served = await ServedRing.create(options);
    await served.start();
    await served.client.fill();
    await served.warmUp();
    if ((options.storeKind ?? 'dir') === 'dir') syncFile(served.extentFile);
    return served;
  }

  /** Of the first ring. */
  get client(): RingClient {
    return this.clients[0];
  }

  get pid(): number {
    return this.tapdisk.pid;
  }

  /** The one extent file of the volume's one layer: chunk n lies at byte n × chunk size. */
  get extentFile(): string {
    const layers = join(this.tapdisk.poolDirectory, 'layers');
    const [layer] = readdirSync(layers);
    const [extent] = readdirSync(join(layers, layer));
    return join(layers, layer, extent);
  }

  async start(): Promise<void> {
    await this.startServer();
    const rings = ringsOfStandIn(this.tapdisk.deviceDirectory);
    this.clients = await Promise.all(rings.map((ring) => RingClient.open(ring)));
  }

  /** Without a client. */
  async startServer(): Promise<void> {
    await this.tapdisk.start();
    const { pid } = this.tapdisk;
    this.stopped = untilUndone(() => process.kill(pid, 'SIGKILL'));
  }

  async stopServer(): Promise<void> {
    await this.tapdisk.stop();
    this.stopped?.();
  }

  /** The load on each ring at the same time. */
  async run(load: Load, durationMs = DURATION_MS): Promise<Sample> {
    const runs = this.clients.map((client) => client.run(load, durationMs, this.pid));
    return together(await Promise.all(runs));
  }

  /** Both directions once: code that has run for a while is compiled code. */
  async warmUp(extent?: Extent, loads: readonly Load[] = WARMING): Promise<void> {
    for (const load of loads) await this.client.run(load, WARMING_MS, this.pid, extent);
  }

  async stop(): Promise<void> {
    for (const client of this.clients) await client.close();
    await this.stopServer();
  }

  remove(): void {
    this.removeFiles();
    this.forget();
  }

  async stopAndRemove(): Promise<void> {
    await this.stop();
    this.remove();
  }

  private removeFiles(): void {
    this.tapdisk.remove();
    rmSync(this.poolParent, { recursive: true, force: true });
  }
}

/** So that the kernel does not write back, in the midst of a measurement, what came before it. */
export function syncFile(file: string): void {
  const fd = openSync(file, 'r+');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
