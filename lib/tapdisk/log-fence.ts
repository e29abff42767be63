/** Tells the log what happens to the right to a volume that others can take. */
import type { Log } from '../control/log';
import type { FenceObserver } from '../vbd/fence-watch';

/** `path` is "pool/volume". Two lines a stall at most: its begin and its end. */
export function logFence(log: Log, path: string): FenceObserver {
  return {
    stalled: () =>
      log.warn(
        { volume: path, code: 'VOLUME_STALLED' },
        `requests of ${path} wait, as the right to it is not confirmed; see that the cluster is reached`,
      ),
    resumed: (stalledMs) =>
      log.info(
        { volume: path, code: 'VOLUME_RESUMED', stalledMs },
        `requests of ${path} go on after ${stalledMs} ms`,
      ),
    lost: () =>
      log.error(
        { volume: path, code: 'VOLUME_LOST' },
        `another process has taken ${path} over, so every request of it fails here; detach it`,
      ),
  };
}
