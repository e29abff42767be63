/** Files whose readiness an io_uring tells among its completions. */
import { fstatSync } from 'node:fs';
import { assert } from '../lib/assert';
import type { Addon } from './addon';
import { URING_WATCHES_MAX } from './limits';
import { POLLIN } from './posix';
import { SystemCallError } from './system-call-error';
import * as layout from './uring-layout';
import { FIRST_WATCH, NOBODY, type UringSubmission } from './uring-submission';
import type { Watch } from './watch';

const EPERM = 1;

/** What of its engine a watch needs. */
interface WatchHost {
  readonly native: Addon;
  readonly submission: UringSubmission;
  /** Writes the entries that are wanted, and hands them over at once. */
  handOver(): void;
  /** Calls `offerAgain` and hands over in a moment. */
  offerAgainSoon(): void;
  /** What keeps the process alive has changed. */
  keepAliveChanged(): void;
}

/** A table of polls that go on after they have told (kernel 5.13). */
export class UringWatches {
  /** Watches that were not stopped. */
  active = 0;
  /** Of these, how many keep the process alive. */
  keptAlive = 0;
  /** `fill` has something to do. */
  areEntriesWanted = false;
  /** By number; a number is free again when the kernel has forgotten its poll. */
  private readonly watches: (UringWatch | undefined)[] = [];
  private readonly readable: UringWatch[] = [];

  constructor(private readonly host: WatchHost) {}

  /**
   * As readiness.ts's `watchReadable`.
   *
   * @throws SystemCallError EPERM
   */
  add(fd: number, onReadable: () => void, keepAlive: boolean): Watch {
    const stat = fstatSync(fd);
    if (stat.isFile() || stat.isDirectory()) throw new SystemCallError('poll', EPERM);
    let index = this.watches.indexOf(undefined);
    if (index === -1) index = this.watches.length;
    assert(index < URING_WATCHES_MAX, 'an io_uring watches no more files than its limit');
    const watch = new UringWatch(this, this.host, index, fd, onReadable);
    this.watches[index] = watch;
    this.active++;
    watch.keepAlive(keepAlive);
    this.want(watch, 'poll');
    this.host.handOver();
    return watch;
  }

  /** Writes the entries that are wanted, as far as there is room; the caller publishes them. */
  fill(): void {
    if (!this.areEntriesWanted) return;
    this.areEntriesWanted = false;
    for (const watch of this.watches) {
      if (watch === undefined || watch.wanted === null) continue;
      if (this.host.submission.isFull) {
        this.areEntriesWanted = true;
        return;
      }
      this.writeEntry(watch);
    }
  }

  /** A poll's completion. */
  told(userData: number, result: number, flags: number): void {
    const watch = this.watches[FIRST_WATCH - userData];
    assert(watch !== undefined, 'a completion belongs to a watch');
    if ((flags & layout.CQE_MORE) === 0) {
      watch.isArmed = false;
      if (watch.isStopped) this.watches[watch.index] = undefined;
      else if (result >= 0) this.want(watch, 'poll');
      else this.pollAgainSoon(watch);
    }
    if (!watch.isStopped && !this.readable.includes(watch)) this.readable.push(watch);
  }

  /** Polls that the kernel refused are wanted again. */
  offerAgain(): void {
    this.areEntriesWanted = true;
  }

  /** Calls back for those that became readable; returns how many. */
  callBack(): number {
    let called = 0;
    for (let watch = this.readable.shift(); watch !== undefined; watch = this.readable.shift()) {
      called++;
      watch.callBack();
    }
    return called;
  }

  /** For UringWatch. */
  forget(watch: UringWatch): void {
    this.active--;
    if (watch.isArmed) {
      this.want(watch, 'removal');
      this.host.handOver();
    } else {
      this.watches[watch.index] = undefined;
    }
  }

  /** The kernel was short of memory, say: at once it would only refuse again. */
  private pollAgainSoon(watch: UringWatch): void {
    watch.wanted = 'poll';
    this.host.offerAgainSoon();
  }

  private want(watch: UringWatch, entry: 'poll' | 'removal'): void {
    watch.wanted = entry;
    this.areEntriesWanted = true;
  }

  private writeEntry(watch: UringWatch): void {
    const { submission } = this.host;
    const userData = FIRST_WATCH - watch.index;
    if (watch.wanted === 'poll') {
      const entry = submission.begin(layout.OP_POLL_ADD, watch.fd, userData);
      submission.sqes[entry + layout.SQE_LENGTH] = layout.POLL_ADD_MULTI;
      submission.sqes[entry + layout.SQE_FLAGS] = POLLIN;
      watch.isArmed = true;
    } else {
      const entry = submission.begin(layout.OP_POLL_REMOVE, -1, NOBODY);
      submission.setTarget(entry, userData);
    }
    watch.wanted = null;
  }
}

class UringWatch implements Watch {
  isStopped = false;
  /** The kernel has, or will be given, its poll. */
  isArmed = false;
  /** The entry to be written for it. */
  wanted: 'poll' | 'removal' | null = null;
  private isKeptAlive = false;

  constructor(
    private readonly watches: UringWatches,
    private readonly host: WatchHost,
    readonly index: number,
    readonly fd: number,
    private readonly onReadable: () => void,
  ) {}

  callBack(): void {
    if (!this.isStopped) this.onReadable();
  }

  poll(): boolean {
    const seen = this.host.native.pollNow(this.fd);
    if (seen < 0) throw new SystemCallError('poll', -seen);
    return (seen & POLLIN) !== 0;
  }

  keepAlive(wanted: boolean): void {
    if (this.isStopped || wanted === this.isKeptAlive) return;
    this.isKeptAlive = wanted;
    this.watches.keptAlive += wanted ? 1 : -1;
    this.host.keepAliveChanged();
  }

  stop(): void {
    if (this.isStopped) return;
    this.keepAlive(false);
    this.isStopped = true;
    this.watches.forget(this);
  }
}
