/**
 * Readiness without the addon: one epoll file for all watches, waited for on a libuv thread.
 *
 * A wake-up costs some 150 microseconds, and one thread of libuv's pool is taken while anything
 * is watched. That thread's sleep is bounded, so that it cannot hold up the end of the process.
 */
import { writeSync } from 'node:fs';
import { FALLBACK_EVENTS_MAX, FALLBACK_SLEEP_MS_MAX } from './limits';
import { libc } from './libc';
import * as posix from './posix';
import type { Watch } from './watch';

/** All watches of a process. */
export class ForeignWatches {
  private readonly watches = new Map<number, ForeignWatch>();
  private readonly events = posix.epollEvents(FALLBACK_EVENTS_MAX);
  private epollFd = -1;
  /** An eventfd in the epoll file: ends the sleep when the set of watches changes. */
  private wakeFd = -1;
  private sleeping = false;
  private pause: NodeJS.Timeout | undefined;

  /** As `watchReadable`; a file can be watched once at a time (EEXIST). */
  watch(fd: number, onReadable: () => void): Watch {
    this.open();
    posix.epollControl(this.epollFd, posix.EPOLL_CTL_ADD, fd, posix.POLLIN | posix.EPOLLET);
    const watch = new ForeignWatch(this, fd, onReadable);
    this.watches.set(fd, watch);
    this.sleep();
    return watch;
  }

  /** For ForeignWatch: forgets a watch; its thread ends when it was the last. */
  forget(watch: ForeignWatch): void {
    this.watches.delete(watch.fd);
    try {
      posix.epollControl(this.epollFd, posix.EPOLL_CTL_DEL, watch.fd);
    } catch (error) {
      // The file was closed before its watch was stopped: the kernel has forgotten it already.
      const code = (error as posix.SystemCallError).code;
      if (code !== 'EBADF' && code !== 'ENOENT') throw error;
    }
    this.wake();
  }

  /** For ForeignWatch: what keeps the process alive has changed. */
  wake(): void {
    if (this.sleeping) writeSync(this.wakeFd, ONE);
    else this.sleep();
  }

  private open(): void {
    if (this.epollFd !== -1) return;
    this.epollFd = posix.epollCreate();
    this.wakeFd = posix.eventfd();
    posix.epollControl(
      this.epollFd,
      posix.EPOLL_CTL_ADD,
      this.wakeFd,
      posix.POLLIN | posix.EPOLLET,
    );
  }

  private close(): void {
    posix.close(this.epollFd);
    posix.close(this.wakeFd);
    this.epollFd = -1;
    this.wakeFd = -1;
  }

  private sleep(): void {
    clearTimeout(this.pause);
    if (this.sleeping) return;
    if (this.watches.size === 0) {
      if (this.epollFd !== -1) this.close();
      return;
    }
    this.sleeping = true;
    libc().functions.epollWait.async(
      this.epollFd,
      this.events,
      FALLBACK_EVENTS_MAX,
      FALLBACK_SLEEP_MS_MAX,
      (error: Error | null, count: number) => this.awake(error === null ? count : 0),
    );
  }

  private awake(count: number): void {
    this.sleeping = false;
    const readable: ForeignWatch[] = [];
    for (let index = 0; index < count; index++) {
      const watch = this.watches.get(posix.epollEventFd(this.events, index));
      if (watch !== undefined) readable.push(watch);
    }
    // First the next sleep: a call back that throws must not end the watching.
    if ([...this.watches.values()].some((watch) => watch.isKeptAlive)) this.sleep();
    else this.pause = setTimeout(() => this.sleep(), 0).unref();
    for (const watch of readable) watch.tell();
  }
}

const ONE = new Uint8Array(new BigUint64Array([1n]).buffer);

class ForeignWatch implements Watch {
  isKeptAlive = true;
  private stopped = false;

  constructor(
    private readonly watches: ForeignWatches,
    readonly fd: number,
    private readonly onReadable: () => void,
  ) {}

  /** Calls back, unless stopped by an earlier call back of the same batch. */
  tell(): void {
    if (this.stopped) return;
    // From a task of its own: what one throws does not take the others' turn.
    queueMicrotask(() => {
      if (!this.stopped) this.onReadable();
    });
  }

  poll(): boolean {
    return (posix.poll(this.fd, posix.POLLIN, 0) & posix.POLLIN) !== 0;
  }

  keepAlive(wanted: boolean): void {
    this.isKeptAlive = wanted;
    this.watches.wake();
  }

  stop(): void {
    if (this.stopped) return;
    this.stopped = true;
    this.watches.forget(this);
  }
}
