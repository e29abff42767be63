/**
 * One host's side of the attach races: `attach` and `release`, a line each, answered by a line.
 *
 *     node race-worker.js POOL/VOLUME
 */
import { createInterface } from 'node:readline';
import type { Attachment, Coordination } from '../../lib/coordination/coordination';
import { TapdiskError } from '../../lib/errors';
import { parseVolumeAddress } from '../../lib/pool/address';
import { openPool } from '../../lib/pool/open-pool';

async function main(path: string): Promise<void> {
  const { pool: poolName, volume } = parseVolumeAddress(path);
  const pool = await openPool(poolName);
  const racer = new Racer(pool.coordination, volume);
  process.stdout.write('ready\n');
  for await (const line of createInterface({ input: process.stdin })) {
    process.stdout.write(`${line === 'attach' ? await racer.attach() : await racer.release()}\n`);
  }
  await pool.close();
}

class Racer {
  private attachment: Attachment | null = null;

  constructor(
    private readonly coordination: Coordination,
    private readonly volume: string,
  ) {}

  /** "won EPOCH" or "lost CODE" */
  async attach(): Promise<string> {
    try {
      this.attachment = await this.coordination.attach(this.volume, { readOnly: false });
      return `won ${this.attachment.record.epoch}`;
    } catch (error) {
      return `lost ${error instanceof TapdiskError ? error.code : String(error)}`;
    }
  }

  async release(): Promise<string> {
    await this.attachment?.release();
    return 'released';
  }
}

main(process.argv[2]).then(
  () => process.exit(0),
  (error: unknown) => {
    process.stderr.write(`${String(error)}\n`);
    process.exit(1);
  },
);
