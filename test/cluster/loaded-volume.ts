/** A new volume under the load of a guest that verifies it. */
import { loadPayloadHash } from '../../lib/trace/payload-hash';
import { DiskModel } from '../../lib/trace/disk-model';
import { Random } from '../crash/random';
import type { Host } from './host';
import { VerifiedGuest } from './verified-guest';

const SECTOR_BYTES = 512;

export interface LoadOptions {
  readonly seed: number;
  /** "pool/volume", which is made. */
  readonly volume: string;
  readonly sizeBytes: number;
  readonly chunkBytes: number;
  readonly depth: number;
  /** As of GuestOptions; true unless told. */
  readonly discards?: boolean;
}

/** Makes the volume, with a guest that is not connected yet. */
export async function newLoadedVolume(host: Host, options: LoadOptions): Promise<VerifiedGuest> {
  const { seed, volume, sizeBytes, chunkBytes, depth, discards = true } = options;
  const sizes = ['--size', String(sizeBytes), '--chunk-size', String(chunkBytes)];
  await host.succeed('create', volume, ...sizes);
  const sectors = sizeBytes / SECTOR_BYTES;
  const model = new DiskModel({
    sectors,
    seed,
    expectZero: true,
    survives: 'acknowledged',
    hash: await loadPayloadHash(),
  });
  const chunkSectors = chunkBytes / SECTOR_BYTES;
  const random = new Random(seed);
  return new VerifiedGuest({ model, random, sectors, chunkSectors, depth, discards });
}
