/** /dev/xen/evtchn: the event channels by which guests and we kick each other (uapi/xen/evtchn.h). */
import { assert } from '../lib/assert';
import { readNow, writeNow } from './doorbell-io';
import { openXenDevice } from './gntdev';
import { EVENT_PORTS_MAX } from './limits';
import * as posix from './posix';
import { SystemCallError } from './system-call-error';

const DEVICE = '/dev/xen/evtchn';
const PORT_BYTES = 4;
const EAGAIN = 11;

const IOCTL_BIND_INTERDOMAIN = 0x84501;
const IOCTL_UNBIND = 0x44503;
const IOCTL_NOTIFY = 0x44504;

/** Event channels of one file. Ports are of our own domain unless called remote. */
export interface EventChannels {
  /** Readable while a port has fired: see `takePending`. */
  readonly fd: number;
  /** What `takePending` filled. */
  readonly ports: Uint32Array;
  /**
   * Binds a port that the other domain has left unbound for us.
   *
   * @throws SystemCallError EINVAL where there is none, or somebody has bound it
   */
  bindInterdomain(domid: number, remotePort: number): number;
  /** Kicks the other side. */
  notify(port: number): void;
  unbind(port: number): void;
  /**
   * Takes ports that have fired into `ports` and returns how many; call until it returns 0. Each is
   * silent until `unmask`: so a guest can wake us no more often than we look.
   */
  takePending(): number;
  /** Lets a port fire again. What it announces must be looked at after this, not before. */
  unmask(port: number): void;
  close(): void;
}

/** @throws TapdiskError XEN_DEVICE_UNUSABLE */
export function openEventChannels(): EventChannels {
  return new LinuxEventChannels(openXenDevice(DEVICE, 'xen-evtchn', posix.O_NONBLOCK));
}

class LinuxEventChannels implements EventChannels {
  readonly ports = new Uint32Array(new ArrayBuffer(EVENT_PORTS_MAX * PORT_BYTES));
  private readonly portBytes = Buffer.from(this.ports.buffer);
  private readonly argument = Buffer.from(new ArrayBuffer(2 * PORT_BYTES));
  private bound = 0;

  constructor(readonly fd: number) {}

  bindInterdomain(domid: number, remotePort: number): number {
    assert(this.bound < EVENT_PORTS_MAX, 'no more ports are bound than one look takes');
    this.argument.writeUInt32LE(domid, 0);
    this.argument.writeUInt32LE(remotePort, PORT_BYTES);
    const port = posix.ioctl(this.fd, IOCTL_BIND_INTERDOMAIN, this.argument);
    this.bound++;
    return port;
  }

  notify(port: number): void {
    this.argument.writeUInt32LE(port, 0);
    posix.ioctl(this.fd, IOCTL_NOTIFY, this.argument);
  }

  unbind(port: number): void {
    this.argument.writeUInt32LE(port, 0);
    posix.ioctl(this.fd, IOCTL_UNBIND, this.argument);
    this.bound--;
  }

  takePending(): number {
    const length = readNow(this.fd, this.portBytes);
    if (length === -EAGAIN) return 0;
    if (length < 0) throw new SystemCallError('read', -length, DEVICE);
    return length / PORT_BYTES;
  }

  unmask(port: number): void {
    this.argument.writeUInt32LE(port, 0);
    const written = writeNow(this.fd, this.argument.subarray(0, PORT_BYTES));
    if (written < 0) throw new SystemCallError('write', -written, DEVICE);
  }

  close(): void {
    posix.close(this.fd);
  }
}
