/** Mistakes that the protocol could have, each of which the model must show. */

export interface PlantedBugs {
  /** The owner writes for as long as nobody tells it not to. */
  readonly noSelfFence?: boolean;
  /** Who lost its lease takes the lock anew without looking whether the epoch has moved. */
  readonly lockWithoutEpoch?: boolean;
  /** The fence is counted from when the reply to a keep-alive came. */
  readonly fenceFromReply?: boolean;
  readonly commitWithoutCompare?: boolean;
  /** A new owner writes at once after one that did not release. */
  readonly noTakeOverWait?: boolean;
  /** Who steals attaches as soon as the lease is revoked. */
  readonly noStealWait?: boolean;
  /** The lock is released, for the standby to take. */
  readonly handOverByRelease?: boolean;
  /** After a hand-over of unknown outcome that has not happened yet, the owner just goes on. */
  readonly resumeWithoutTouch?: boolean;
}
