/** Puts virtual time in the place of Node's timers, for code that asks for them and not for a Clock. */
import { SimProcess } from './sim-clock';
import type { VirtualTime } from './virtual-time';

/** As a NodeJS.Timeout, as far as anybody asks. */
class VirtualTimer {
  isCancelled = false;

  unref(): this {
    return this;
  }
}

/**
 * From here on timers and immediates are events of virtual time, of the process that made them.
 *
 * @returns a function that puts Node's own back
 */
export function installVirtualTimers(time: VirtualTime): () => void {
  const { setTimeout, setInterval, setImmediate, clearTimeout, clearInterval } = globalThis;
  const after = (delayMs: number, repeats: boolean, action: () => void): VirtualTimer => {
    const timer = new VirtualTimer();
    const process = SimProcess.current;
    const rate = process?.host.clockRate ?? 1;
    const due = (): void => {
      if (timer.isCancelled || process?.isAlive === false) return;
      if (repeats) time.schedule(delayMs / rate, due);
      const run = (): void => {
        if (!timer.isCancelled) action();
      };
      if (process === null) run();
      else process.deliver(run, true);
    };
    time.schedule(delayMs / rate, due);
    return timer;
  };
  const clear = (timer: unknown): void => {
    if (timer instanceof VirtualTimer) timer.isCancelled = true;
  };
  Object.assign(globalThis, {
    setTimeout: (action: () => void, delayMs = 0) => after(delayMs, false, action),
    setInterval: (action: () => void, delayMs: number) => after(delayMs, true, action),
    setImmediate: (action: () => void) => after(0, false, action),
    clearTimeout: clear,
    clearInterval: clear,
  });
  return () => {
    Object.assign(globalThis, {
      setTimeout,
      setInterval,
      setImmediate,
      clearTimeout,
      clearInterval,
    });
  };
}
