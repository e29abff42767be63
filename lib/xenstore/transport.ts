/** What carries the messages of one connection to xenstored: a socket, or the kernel's device. */

export interface TransportEvents {
  bytes(chunk: Buffer): void;
  /** The other side is gone, once; not told after `close`. */
  lost(reason: string): void;
}

export interface Transport {
  /** The path that was opened, for people. */
  readonly path: string;
  /** Header and payload together: a longer message is refused before it is sent. */
  readonly messageBytesMax: number;
  /** Whether a message may be sent before the one before it was answered. */
  readonly takesSeveral: boolean;
  /** Begins to tell of what comes in. */
  start(events: TransportEvents): void;
  /** One whole message; the kernel's device takes no more and no less by one write. */
  send(message: Buffer): void;
  close(): void;
}
