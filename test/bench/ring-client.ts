/** Loads a stand-in ring as a guest would: drives the C program that does. */
import { z } from 'zod/v3';
import { cProgram } from './c-programs';
import { LineChild } from './child';
import type { Load } from './load';
import { measureUsage } from './process-usage';
import type { Sample } from './sample';
import { KIB, SECTOR_BYTES } from './settings';

const greeting = z.object({ sectors: z.number(), slots: z.number() });

const answer = z.object({
  requests: z.number(),
  failed: z.number(),
  elapsedNs: z.number(),
  p50Ns: z.number(),
  p99Ns: z.number(),
});

/** Pieces of a disk that a load goes to: `regions` of `lengthBytes`, `strideBytes` apart. */
export interface Extent {
  readonly firstBytes: number;
  readonly lengthBytes: number;
  readonly strideBytes: number;
  readonly regions: number;
}

export function wholeDisk(bytes: number): Extent {
  return { firstBytes: 0, lengthBytes: bytes, strideBytes: bytes, regions: 1 };
}

/** A run's bounds; the sooner one ends it. */
interface Until {
  readonly durationMs: number;
  readonly requests: number;
}

const FOREVER_MS = 600_000;
const FOREVER_REQUESTS = 2 ** 48;
const FILL_BLOCK_BYTES = 32 * KIB;
const FILL_DEPTH = 32;

export class RingClient {
  private runs = 1;

  private constructor(
    private readonly child: LineChild,
    readonly sizeBytes: number,
    readonly slots: number,
  ) {}

  /** Waits until a back end serves the device. */
  static async open(deviceDirectory: string): Promise<RingClient> {
    const child = new LineChild(cProgram('ring-load'), [deviceDirectory]);
    const { sectors, slots } = greeting.parse(JSON.parse(await child.answer()));
    return new RingClient(child, sectors * SECTOR_BYTES, slots);
  }

  /** Runs one load for so long; `pid` is the process that serves the ring. */
  async run(
    load: Load,
    durationMs: number,
    pid: number,
    extent = wholeDisk(this.sizeBytes),
  ): Promise<Sample> {
    const until = { durationMs, requests: FOREVER_REQUESTS };
    const used = await measureUsage(pid, () => this.ask(load, until, extent));
    const { requests, elapsedNs, p50Ns, p99Ns } = used.result;
    const seconds = elapsedNs / 1e9;
    return {
      requests,
      iops: requests / seconds,
      mbPerSecond: (requests * load.blockBytes) / seconds / 1e6,
      latencyUsP50: p50Ns / 1000,
      latencyUsP99: p99Ns / 1000,
      userUs: used.userUs,
      systemUs: used.systemUs,
      residentBytes: used.residentBytes,
    };
  }

  /** Writes every sector of an extent once, so that no later write there is a chunk's first. */
  async fill(extent = wholeDisk(this.sizeBytes)): Promise<void> {
    const requests = (extent.lengthBytes / FILL_BLOCK_BYTES) * extent.regions;
    const load: Load = {
      operation: 'write',
      pattern: 'sequential',
      blockBytes: FILL_BLOCK_BYTES,
      depth: FILL_DEPTH,
    };
    await this.ask(load, { durationMs: FOREVER_MS, requests }, extent);
  }

  async close(): Promise<void> {
    await this.child.finish();
  }

  private async ask(load: Load, until: Until, extent: Extent): Promise<z.infer<typeof answer>> {
    const { operation, pattern, blockBytes, depth } = load;
    const { firstBytes, lengthBytes, strideBytes, regions } = extent;
    const [o, p, seed] = [operation[0], pattern[0], this.runs++];
    this.child.say(
      `${o} ${p} ${blockBytes} ${depth} ${until.durationMs} ${until.requests} ` +
        `${firstBytes} ${lengthBytes} ${strideBytes} ${regions} ${seed}`,
    );
    const answered = answer.parse(JSON.parse(await this.child.answer()));
    if (answered.failed > 0) throw new Error(`${answered.failed} requests of a ring failed`);
    return answered;
  }
}
