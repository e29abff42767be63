/**
 * Lingering: for a while after activity an engine waits in its io_uring instead of in libuv's loop.
 *
 * The wait is a sleep, and costs no CPU; what it saves is an eventfd's and an epoll's round trip for
 * each batch. libuv's own files end it: their epoll file is polled in the ring. A timer in the ring
 * ends it when nothing comes, so that when idle nothing runs at all.
 */
import { TapdiskError } from '../lib/errors';
import type { Addon, AddonLinger } from './addon';
import { LINGER_TICK_US, LINGER_TURN_US, LINGER_US_DEFAULT, LINGER_US_MAX } from './limits';
import type { Lingerer, LingerGate } from './linger-gate';
import { POLLIN } from './posix';
import { SystemCallError } from './system-call-error';
import * as layout from './uring-layout';
import type { UringRing } from './uring-ring';
import { LINGER_BACKEND, LINGER_TIMER, NOBODY, type UringSubmission } from './uring-submission';

const NS_PER_US = 1000;

/** What of its engine the linger needs. */
interface LingerHost {
  readonly native: Addon;
  readonly ring: UringRing;
  readonly submission: UringSubmission;
  /** io_uring_enter has returned: tell what has ended, and return whether there was anything. */
  entered(): boolean;
  /** Tell what ended before the eventfd counted again. */
  tellLeftOver(): void;
}

export class UringLinger implements Lingerer {
  isActive = false;

  private readonly linger: AddonLinger;
  private readonly backendFd: number;
  /** The struct __kernel_timespec that the timer's entry points to. */
  private readonly timespec = Buffer.alloc(layout.TIMESPEC_BYTES);
  private readonly timespecAddress: number;
  private isTimerArmed = false;
  private hasTimerEnded = false;
  private isBackendArmed = false;
  /** One of libuv's files is ready: it gets its turn. */
  private isTurnWanted = false;
  /** Ticks of the timer that nothing else has come with. */
  private quietTicks = 0;
  /** That many of them end the lingering. */
  private readonly quietTicksMax: number;

  /** Null where `lingerUs` is 0, or the kernel too old. */
  static open(host: LingerHost, gate: LingerGate, lingerUs: number): UringLinger | null {
    return lingerUs === 0 || !host.ring.canWatch ? null : new UringLinger(host, gate, lingerUs);
  }

  private constructor(
    private readonly host: LingerHost,
    private readonly gate: LingerGate,
    lingerUs: number,
  ) {
    const { native, ring, submission } = host;
    this.backendFd = native.backendFd();
    const tickUs = Math.min(lingerUs, LINGER_TICK_US);
    this.quietTicksMax = Math.ceil(lingerUs / tickUs) + 1;
    this.timespec.writeBigInt64LE(BigInt(tickUs * NS_PER_US), layout.TIMESPEC_NANOSECONDS);
    this.timespecAddress = native.addressOf(this.timespec);
    const control = new Uint8Array(submission.control.buffer);
    const linger = native.lingerNew(ring.enterFd, ring.enterFlags, control, LINGER_TURN_US, () =>
      this.entered(),
    );
    if (typeof linger === 'number') throw new SystemCallError('lingerNew', -linger);
    this.linger = linger;
  }

  /** Lingers from the next round of libuv's loop on, if it may. */
  enter(): void {
    if (this.isActive || !this.gate.enter(this)) return;
    this.isActive = true;
    this.quietTicks = 0;
    this.hasTimerEnded = false;
    this.host.ring.setEventfd(false);
    this.fill();
    this.host.submission.publish();
    this.host.native.lingerStart(this.linger);
  }

  leave(): void {
    if (!this.isActive) return;
    const { host } = this;
    this.isActive = false;
    host.native.lingerStop(this.linger);
    this.stopPollingBackend();
    this.gate.left(this);
    host.ring.setEventfd(true);
    host.tellLeftOver();
  }

  close(): void {
    this.leave();
    this.host.native.lingerClose(this.linger);
  }

  /** Begins the entries that end a sleep; the caller publishes them. */
  fill(): void {
    if (!this.isActive) return;
    const { submission } = this.host;
    if (!this.isTimerArmed && !submission.isFull) {
      this.isTimerArmed = true;
      const entry = submission.begin(layout.OP_TIMEOUT, -1, LINGER_TIMER);
      submission.setAddress(entry, this.timespecAddress);
      submission.sqes[entry + layout.SQE_LENGTH] = 1;
    }
    if (!this.isBackendArmed && !submission.isFull) {
      this.isBackendArmed = true;
      const entry = submission.begin(layout.OP_POLL_ADD, this.backendFd, LINGER_BACKEND);
      submission.sqes[entry + layout.SQE_FLAGS] = POLLIN;
    }
  }

  /** A completion of one of these entries. */
  told(userData: number): void {
    if (userData === LINGER_TIMER) {
      this.isTimerArmed = false;
      this.hasTimerEnded = true;
    } else if (userData === LINGER_BACKEND) {
      this.isBackendArmed = false;
      this.isTurnWanted = true;
    }
  }

  private entered(): void {
    this.isTurnWanted = false;
    if (this.host.entered()) this.quietTicks = 0;
    if (this.hasTimerEnded) {
      this.hasTimerEnded = false;
      // The first tick after something came says nothing: it may have come just before.
      if (++this.quietTicks >= this.quietTicksMax) this.leave();
      this.isTurnWanted = true;
    }
    if (!this.isActive) return;
    this.fill();
    this.host.submission.publish();
    this.host.submission.turnGoesOn = !this.isTurnWanted;
  }

  /**
   * Its poll would turn each of libuv's events into one of ours. Where the kernel is too short of
   * memory to be told so, it does that once.
   */
  private stopPollingBackend(): void {
    const { submission } = this.host;
    if (!this.isBackendArmed || (submission.isFull && !submission.handOver())) return;
    const entry = submission.begin(layout.OP_POLL_REMOVE, -1, NOBODY);
    submission.setTarget(entry, LINGER_BACKEND);
    submission.publish();
    submission.handOver();
  }
}

/**
 * TAPDISK_TS_LINGER_US, else the default; 0: not at all.
 *
 * @throws TapdiskError LINGER_INVALID
 */
export function askedLingerUs(): number {
  const text = process.env.TAPDISK_TS_LINGER_US ?? '';
  if (text === '') return LINGER_US_DEFAULT;
  const lingerUs = Number(text);
  if (Number.isInteger(lingerUs) && lingerUs >= 0 && lingerUs <= LINGER_US_MAX) return lingerUs;
  throw new TapdiskError(
    'LINGER_INVALID',
    `TAPDISK_TS_LINGER_US is '${text}'; set it to microseconds from 0 (never linger) to ${LINGER_US_MAX}`,
  );
}
