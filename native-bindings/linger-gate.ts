/** Who of this process may linger in an io_uring: one engine at a time, and none beside a device. */

/** Waits in its io_uring instead of in libuv's loop. */
export interface Lingerer {
  /** Goes back to libuv's loop, before this returns. */
  leave(): void;
}

/**
 * One at a time, because whoever lingers sleeps for all: it hears of libuv's files, and so of the
 * engines that wait there, but not of another io_uring's completions.
 *
 * None while a character device is watched, because lingering polls libuv's epoll file, and by way
 * of it the device. On blktap's devices a poll is a step of the protocol and its answer is given
 * once: the poll that asks must be the one whose answer is heard.
 */
export class LingerGate {
  private lingerer: Lingerer | null = null;
  private devices = 0;

  /** Whether `who` may linger from now on; until `left`. */
  enter(who: Lingerer): boolean {
    if (this.devices > 0 || this.lingerer !== null) return false;
    this.lingerer = who;
    return true;
  }

  left(who: Lingerer): void {
    if (this.lingerer === who) this.lingerer = null;
  }

  /** Called before a device is watched. */
  deviceWatched(): void {
    this.devices++;
    this.lingerer?.leave();
  }

  deviceForgotten(): void {
    this.devices--;
  }
}

export const lingerGate = new LingerGate();
