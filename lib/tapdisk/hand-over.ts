/** Moves a live disk to a process that stands by for its volume. */
import type { HandedOver } from '../control/disk-host';
import { TapdiskError } from '../errors';
import { HAND_OVER_DRAIN_TIMEOUT_MS, HAND_OVER_FLUSH_TIMEOUT_MS } from './limits';

/** What is done to the disk, step by step. */
export interface HandDiskOver {
  /** "pool/volume" */
  readonly volume: string;
  readonly findStandby: (to: string | undefined) => Promise<string>;
  readonly flush: () => Promise<void>;
  /** From a pause: flushes and gives the volume away; where it rejects, nothing was given. */
  readonly giveTo: (standby: string) => Promise<void>;
  /** Whether the ring's other side waits for the next server. See Frontend. */
  readonly ringSurvivesClose: boolean;
  readonly wasPaused: boolean;
  /** Rejects with the disk resumed. */
  readonly pause: (drainTimeoutMs: number) => Promise<void>;
  readonly resume: () => Promise<void>;
  readonly closeRing: () => Promise<void>;
  readonly to: string | undefined;
  readonly flushTimeoutMs?: number;
}

/**
 * Takes no further request, answers those in flight, flushes, gives the volume away, and lets go of
 * the ring: in this order, so that requests that come meanwhile stay where they are, for the other
 * process or, after a failure, for this one.
 *
 * A ring whose other side fails its users when it is let go of (blktap's kernel) is closed before
 * the volume is given away: it can be while nobody has its block device open.
 *
 * @throws TapdiskError STANDBY_NOT_FOUND, STANDBY_AMBIGUOUS before anything is interrupted;
 * RING_DRAIN_TIMEOUT, HAND_OVER_TIMEOUT, BLKTAP_BUSY, and those of the coordination, with the disk
 * served as before
 */
export async function handDiskOver(disk: HandDiskOver): Promise<HandedOver> {
  const { wasPaused } = disk;
  const to = await disk.findStandby(disk.to);
  // What is flushed now need not be while the guest waits.
  await flushInTime(disk);
  if (!disk.ringSurvivesClose) await disk.closeRing();
  const beganAtMs = performance.now();
  if (!wasPaused) await disk.pause(HAND_OVER_DRAIN_TIMEOUT_MS);
  try {
    // Once more with a deadline: what follows could not be taken back after one.
    await flushInTime(disk);
    await disk.giveTo(to);
  } catch (error) {
    if (!wasPaused) await disk.resume();
    throw error;
  }
  await disk.closeRing();
  return { to, blackoutMs: performance.now() - beganAtMs };
}

async function flushInTime(disk: HandDiskOver): Promise<void> {
  const timeoutMs = disk.flushTimeoutMs ?? HAND_OVER_FLUSH_TIMEOUT_MS;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(
        new TapdiskError(
          'HAND_OVER_TIMEOUT',
          `${disk.volume} could not be flushed within ${timeoutMs / 1000} s, so it is not handed ` +
            'over and is served on; see what holds the store, then try again',
          { transient: true },
        ),
      );
    }, timeoutMs);
  });
  try {
    await Promise.race([disk.flush(), late]);
  } finally {
    clearTimeout(timer);
  }
}
