/** Event channels between a guest and us, whose kicks a test gives by hand. */
import type { EventChannels } from '../../../native-bindings/evtchn';
import type { Watch } from '../../../native-bindings/readiness';
import { SystemCallError } from '../../../native-bindings/system-call-error';

const EINVAL = 22;

interface Port {
  readonly remote: number;
  isMasked: boolean;
  isPending: boolean;
}

export class FakeEvents implements EventChannels {
  readonly fd = 77;
  readonly ports = new Uint32Array(64);
  /** Kicks that the guest was given, by its own port. */
  readonly kicks = new Map<number, number>();
  onReadable: (() => void) | null = null;
  failNextRead = false;
  private readonly bound = new Map<number, Port>();
  private nextPort = 100;

  /** As readiness.ts's, for this file only. */
  readonly watch = (fd: number, onReadable: () => void): Watch => {
    if (fd !== this.fd) throw new Error('watched another file');
    this.onReadable = onReadable;
    return {
      poll: () => false,
      keepAlive: () => undefined,
      stop: () => {
        this.onReadable = null;
      },
    };
  };

  get boundPorts(): number {
    return this.bound.size;
  }

  /** The guest kicks: as often as it likes, a port that is masked is silent. */
  guestKicks(remotePort: number): void {
    for (const port of this.bound.values()) if (port.remote === remotePort) port.isPending = true;
    if ([...this.bound.values()].some((port) => port.isPending && !port.isMasked)) {
      this.onReadable?.();
    }
  }

  bindInterdomain(_domid: number, remotePort: number): number {
    const isTaken = [...this.bound.values()].some(({ remote }) => remote === remotePort);
    if (isTaken || remotePort === 0) throw new SystemCallError('ioctl', EINVAL);
    this.bound.set(this.nextPort, { remote: remotePort, isMasked: false, isPending: false });
    return this.nextPort++;
  }

  notify(port: number): void {
    const { remote } = this.portOf(port);
    this.kicks.set(remote, (this.kicks.get(remote) ?? 0) + 1);
  }

  unbind(port: number): void {
    this.portOf(port);
    this.bound.delete(port);
  }

  takePending(): number {
    if (this.failNextRead) throw new SystemCallError('read', EINVAL);
    let count = 0;
    for (const [number, port] of this.bound) {
      if (!port.isPending || port.isMasked) continue;
      port.isPending = false;
      port.isMasked = true;
      this.ports[count++] = number;
    }
    return count;
  }

  unmask(port: number): void {
    this.portOf(port).isMasked = false;
  }

  close(): void {
    this.bound.clear();
  }

  private portOf(port: number): Port {
    const found = this.bound.get(port);
    if (found === undefined) throw new SystemCallError('ioctl', EINVAL);
    return found;
  }
}
