/** Mistakes that the protocol could have, each of which the model must show. */

export interface PlantedBugs {
  /** The owner writes for as long as nobody tells it not to. */
  readonly noSelfFence?: boolean;
  /** Who lost its lease takes the lock anew without looking whether the epoch has moved. */
  readonly lockWithoutEpoch?: boolean;
  /** The fence is counted from when the reply to a keep-alive came. */
  readonly fenceFromReply?: boolean;
  /** A lease that was granted earlier counts from when the lock was asked for. */
  readonly fenceFromAttach?: boolean;
  readonly commitWithoutCompare?: boolean;
  /** A new owner writes at once after one that did not release. */
  readonly noTakeOverWait?: boolean;
  /** Who steals waits no longer than after an owner whose lease has ended. */
  readonly noStealWait?: boolean;
  /** Who steals waits, but if it dies meanwhile the next one does not know that it must. */
  readonly waitNotKept?: boolean;
  /** The lock is released, for the standby to take. */
  readonly handOverByRelease?: boolean;
  /** After a hand-over of unknown outcome that has not happened yet, the owner just goes on. */
  readonly resumeWithoutTouch?: boolean;
}
