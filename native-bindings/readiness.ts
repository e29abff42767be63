/** Calls back when a file (a device, an eventfd, a FIFO) becomes readable. */
import { type Addon, type AddonWatch, addon } from './addon';
import { fstatSync } from 'node:fs';
import { ForeignWatches } from './foreign-watches';
import { lingerGate } from './linger-gate';
import { POLLIN } from './posix';
import { SystemCallError } from './system-call-error';
import type { Watch, WatchOptions, WatchReadable } from './watch';

export type { Watch, WatchOptions, WatchReadable };

/**
 * Watches `fd`, edge-triggered: `onReadable` is called when it becomes readable, and again when
 * more has arrived, whether or not the earlier was taken; not while nothing new arrives. If it is
 * readable already, that is the first edge. A call without anything new is possible, and must be
 * harmless. What `onReadable` throws is an uncaught exception.
 *
 * A blktap device: only after its ring is mapped, since older kernels oops otherwise. To watch it
 * is to ask it, and its answer is given once, so look at the ring after this call.
 *
 * @throws SystemCallError EPERM where the file cannot be watched (an ordinary file), EBADF
 */
export function watchReadable(
  fd: number,
  onReadable: () => void,
  options: WatchOptions = {},
): Watch {
  const isDevice = fstatSync(fd).isCharacterDevice();
  if (isDevice) lingerGate.deviceWatched();
  try {
    const watch = newWatch(fd, onReadable);
    if (options.keepAlive === false) watch.keepAlive(false);
    return isDevice ? new DeviceWatch(watch) : watch;
  } catch (error) {
    if (isDevice) lingerGate.deviceForgotten();
    throw error;
  }
}

function newWatch(fd: number, onReadable: () => void): Watch {
  const native = addon();
  if (native === null) return foreignWatches.watch(fd, onReadable);
  return new NativeWatch(native, fd, onReadable);
}

const foreignWatches = new ForeignWatches();

class NativeWatch implements Watch {
  private readonly watch: AddonWatch;
  private stopped = false;

  constructor(
    private readonly native: Addon,
    private readonly fd: number,
    onReadable: () => void,
  ) {
    const watch = native.watchEdge(fd, onReadable);
    if (typeof watch === 'number') throw new SystemCallError('epoll_ctl', -watch);
    this.watch = watch;
  }

  poll(): boolean {
    const seen = this.native.pollNow(this.fd);
    if (seen < 0) throw new SystemCallError('poll', -seen);
    return (seen & POLLIN) !== 0;
  }

  keepAlive(wanted: boolean): void {
    this.native.watchReference(this.watch, wanted);
  }

  stop(): void {
    if (this.stopped) return;
    this.stopped = true;
    this.native.watchStop(this.watch);
  }
}

/** Keeps engines from lingering, for as long as it lasts. */
class DeviceWatch implements Watch {
  private stopped = false;

  constructor(private readonly watch: Watch) {}

  poll(): boolean {
    return this.watch.poll();
  }

  keepAlive(wanted: boolean): void {
    this.watch.keepAlive(wanted);
  }

  stop(): void {
    if (this.stopped) return;
    this.stopped = true;
    this.watch.stop();
    lingerGate.deviceForgotten();
  }
}
