/** What a watch of a file's readiness can do; readiness.ts makes one. */

export interface WatchOptions {
  /** Whether the watch keeps the process alive; true if not said. */
  readonly keepAlive?: boolean;
}

/** Of readiness.ts, or of an engine. */
export type WatchReadable = (fd: number, onReadable: () => void, options?: WatchOptions) => Watch;

/** A watch; it goes on until it is stopped. */
export interface Watch {
  /**
   * Asks the kernel now, without waiting, whether the file is readable. More than a look on blktap
   * devices: it is this that makes the kernel publish requests on the ring.
   */
  poll(): boolean;
  keepAlive(wanted: boolean): void;
  /** Ends the watch, once; `onReadable` is not called any more, and the file may be closed. */
  stop(): void;
}
