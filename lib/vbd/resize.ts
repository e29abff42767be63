/** Gives a volume that is being served another size: on disk, in memory, and in that order. */
import { getSystemErrorName } from 'node:util';
import { TapdiskError } from '../errors';
import { SECTOR_BYTES } from '../sector';
import type { ErrnoCallback } from '../store/chunk-store';
import type { Volume } from '../volume/volume';
import { RangeDiscard } from './discard';

/** What a resize needs of the VBD above the volume. */
export interface Standstill {
  /** Resolves when no request is in flight; none starts before `end`. */
  begin(): Promise<void>;
  end(): void;
}

/**
 * A larger volume: the record first, durably, while requests go on; then, between two requests, what
 * is served. Whatever dies or fails between, the next attach, or the same call again, serves the
 * record's size, and nothing was ever written behind the old end.
 *
 * A smaller volume: requests stand still; what lies behind the new end becomes zeros, durably, so
 * that no later growth brings it back; then the record; then what is served.
 *
 * @throws TapdiskError DRAIN_TIMEOUT, SHRINK_FAILED, and those of Attachment.resize
 */
export async function resizeVolume(
  volume: Volume,
  sizeBytes: number,
  standstill: Standstill,
): Promise<void> {
  const servedBytes = volume.sectors * SECTOR_BYTES;
  if (sizeBytes >= servedBytes) await volume.resizeRecord(sizeBytes);
  if (sizeBytes === servedBytes) return;
  await standstill.begin();
  try {
    if (sizeBytes < servedBytes) {
      await emptyBehind(volume, sizeBytes);
      await volume.resizeRecord(sizeBytes);
    }
    volume.followRecord();
  } finally {
    standstill.end();
  }
}

async function emptyBehind(volume: Volume, sizeBytes: number): Promise<void> {
  const first = sizeBytes / SECTOR_BYTES;
  const mustZero = true;
  const errno =
    (await errnoOf((done) => {
      new RangeDiscard(volume, first, volume.sectors - first, mustZero, done).start();
      volume.kick();
    })) || (await errnoOf((done) => volume.flush(done)));
  if (errno === 0) return;
  throw new TapdiskError(
    'SHRINK_FAILED',
    `volume ${volume.record.name} keeps its size: what lies behind its new end could not be ` +
      `removed (${getSystemErrorName(-errno)}); check the store, then try again`,
  );
}

function errnoOf(start: (done: ErrnoCallback) => void): Promise<number> {
  return new Promise((resolve) => start(resolve));
}
