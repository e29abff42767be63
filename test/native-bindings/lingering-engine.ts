/** An engine that lingers for as long as a test says, and what the kernel was asked meanwhile. */
import type { Addon } from '../../native-bindings/addon';
import type { IoEngine } from '../../native-bindings/io-engine';
import { UringEngine } from '../../native-bindings/uring-engine';
import { requireAddon } from './require-addon';

const VARIABLE = 'TAPDISK_TS_LINGER_US';

/** Longer than any test: whoever lingers goes on. */
export const FOR_EVER_US = 10_000_000;

export class LingeringEngine {
  readonly engine: IoEngine;
  /** Ends by token. */
  readonly results = new Map<number, number>();
  /** Times that libuv's loop saw the eventfd, the way without lingering. */
  eventfdWakeUps = 0;
  /** Times that io_uring_enter returned from a wait. */
  turns = 0;
  isLingering = false;

  constructor(lingerUs: number, overrides: Partial<Addon> = {}) {
    const addon = { ...requireAddon(), ...overrides };
    process.env[VARIABLE] = String(lingerUs);
    const opened = UringEngine.open(
      {
        ...addon,
        drainEventfd: (fd) => {
          this.eventfdWakeUps++;
          return addon.drainEventfd(fd);
        },
        lingerNew: (fd, flags, control, lingerUs, turnUs, onEntered) =>
          addon.lingerNew(fd, flags, control, lingerUs, turnUs, () => {
            this.turns++;
            onEntered();
          }),
        lingerStart: (linger) => {
          this.isLingering = true;
          addon.lingerStart(linger);
        },
        lingerStop: (linger) => {
          this.isLingering = false;
          addon.lingerStop(linger);
        },
      },
      (token, result) => this.results.set(token, result),
      () => this.engine.submit(),
    );
    delete process.env[VARIABLE];
    if (typeof opened === 'string') throw new Error(opened);
    this.engine = opened;
  }
}
