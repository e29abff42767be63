/**
 * Lingering: for a while after activity an engine waits in its io_uring instead of in libuv's loop.
 *
 * The wait is a sleep, and costs no CPU; what it saves is an eventfd's and an epoll's round trip for
 * each batch. Nothing else needs to end it: io_uring_enter is given the time, which is that of
 * libuv's next timer or of the end of the lingering, whichever is first. What may end it sooner are
 * libuv's files, whose epoll file is polled in the ring: while that poll is not armed, no turn of
 * the addon sleeps. So whoever takes the poll's completion, and whenever, libuv gets its turn.
 */
import { TapdiskError } from '../lib/errors';
import type { Addon, AddonLinger } from './addon';
import { LINGER_TURN_US, LINGER_US_DEFAULT, LINGER_US_MAX } from './limits';
import type { Lingerer, LingerGate } from './linger-gate';
import { POLLIN } from './posix';
import { SystemCallError } from './system-call-error';
import { BACKEND_ARMED, HEARD, QUIET } from './uring-control';
import * as layout from './uring-layout';
import type { UringRing } from './uring-ring';
import { LINGER_BACKEND, NOBODY, type UringSubmission } from './uring-submission';

const ECANCELED = -125;

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
  /** This kernel does not poll libuv's epoll file: nobody lingers here again. */
  private isRefused = false;

  /** Null where `lingerUs` is 0, or the kernel too old. */
  static open(host: LingerHost, gate: LingerGate, lingerUs: number): UringLinger | null {
    const { canWatch, canBoundWaits } = host.ring;
    return lingerUs > 0 && canWatch && canBoundWaits ? new UringLinger(host, gate, lingerUs) : null;
  }

  private constructor(
    private readonly host: LingerHost,
    private readonly gate: LingerGate,
    lingerUs: number,
  ) {
    const { native, ring, submission } = host;
    this.backendFd = native.backendFd();
    const control = new Uint8Array(submission.control.buffer);
    const linger = native.lingerNew(
      ring.enterFd,
      ring.enterFlags,
      control,
      lingerUs,
      LINGER_TURN_US,
      () => this.entered(),
    );
    if (typeof linger === 'number') throw new SystemCallError('lingerNew', -linger);
    this.linger = linger;
  }

  /** Lingers from the next round of libuv's loop on, if it may. */
  enter(): void {
    if (this.isActive || this.isRefused || !this.gate.enter(this)) return;
    this.isActive = true;
    this.host.ring.setEventfd(false);
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

  /** The completion of the backend's poll. */
  told(userData: number, result: number): void {
    if (userData !== LINGER_BACKEND) return;
    this.host.submission.control[BACKEND_ARMED] = 0;
    if (result < 0 && result !== ECANCELED) this.isRefused = true;
  }

  /** In a turn of the addon, after each call that may have slept. */
  private entered(): void {
    const { control } = this.host.submission;
    const hadTurn = control[BACKEND_ARMED] === 0;
    const heard = this.host.entered();
    if (!this.isActive) return;
    control[HEARD] = heard ? 1 : 0;
    if (this.isRefused || (!heard && control[QUIET] !== 0)) this.leave();
    // Not when its completion has just been taken: libuv would not have looked at its files yet.
    else if (hadTurn) this.pollBackend();
  }

  /** Where there is no room for it, turns go on without sleeping until there is. */
  private pollBackend(): void {
    const { submission } = this.host;
    if (submission.isFull) return;
    const entry = submission.begin(layout.OP_POLL_ADD, this.backendFd, LINGER_BACKEND);
    submission.sqes[entry + layout.SQE_FLAGS] = POLLIN;
    submission.control[BACKEND_ARMED] = 1;
    submission.publish();
  }

  /**
   * Its poll would turn one of libuv's events into one of ours, and would ask a device. Where the
   * kernel is too short of memory to be told so, it does that once.
   */
  private stopPollingBackend(): void {
    const { submission } = this.host;
    const isArmed = submission.control[BACKEND_ARMED] !== 0;
    if (!isArmed || (submission.isFull && !submission.handOver())) return;
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
