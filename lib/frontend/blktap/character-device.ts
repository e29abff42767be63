/**
 * A ring's character device, opened and mapped in the one order that no kernel module minds.
 *
 * blktap1's contract is linux-2.6.18-xen's drivers/xen/blktap; blktap2's was observed on the
 * modules of XenServer 8.2 and OpenXT. Never poll before the first mmap (the kernel crashes), and
 * never touch a data page but between a request and its response (SIGBUS).
 */
import { errnoOf, sentenceOf, TapdiskError } from '../../errors';
import type { BlockDevice } from '../../vbd/block-device';
import {
  BLKTAP_MAPPING_BYTES,
  decodeDeviceInfoFlags,
  DEVICE_FLAG_FLUSH,
  DEVICE_FLAG_READ_ONLY,
  DEVICE_FLAG_TRIM,
  encodeCompatParameters,
  encodeDeviceInfo,
  IOCTL_CREATE_DEVICE,
  IOCTL_CREATE_DEVICE_COMPAT,
  IOCTL_KICK_FE,
  IOCTL_PAUSE,
  IOCTL_REMOVE_DEVICE,
  IOCTL_RESUME,
  IOCTL_SENDPID,
  IOCTL_SETMODE,
  MESSAGE_OFFSET,
  MODE_INTERPOSE,
} from './blktap-abi';
import type { BlktapSyscalls, KernelMapping, KernelWatch } from './blktap-syscalls';
import { type IdentifiedModule, sysfsAttributes } from './identify-module';

/** What the module tells its users about the disk. */
export type DiskShape = Pick<BlockDevice, 'sectors' | 'readOnly' | 'discardGranularityBytes'>;

export class CharacterDevice {
  readonly mapping: KernelMapping;
  /** Flags of the block device that blktap2 made: DEVICE_FLAG_*; 0 on blktap1. */
  flags = 0;

  private readonly fd: number;
  private watch: KernelWatch | null = null;
  private isClosed = false;
  /** XenServer's block device exists, so it must be removed before the mapping goes. */
  private mustRemove = false;

  /**
   * Opens and maps.
   *
   * @throws TapdiskError BLKTAP_IN_USE, BLKTAP_NOT_ALLOCATED, DEVICE_FORBIDDEN,
   * BLKTAP_OPEN_FAILED, BLKTAP_MAP_FAILED
   */
  constructor(
    readonly path: string,
    readonly module: IdentifiedModule,
    private readonly system: BlktapSyscalls,
  ) {
    try {
      this.fd = system.open(path);
    } catch (error) {
      throw openError(path, error);
    }
    try {
      this.mapping = system.map(this.fd, BLKTAP_MAPPING_BYTES, 0);
    } catch (error) {
      system.close(this.fd);
      throw new TapdiskError(
        'BLKTAP_MAP_FAILED',
        `${path} cannot be mapped (${sentenceOf(error)}); is another process serving it?`,
        { cause: error },
      );
    }
  }

  /**
   * Makes the ring ready to be served: blktap1's mode, blktap2's block device. Closes the device
   * where it throws.
   *
   * @throws TapdiskError BLKTAP_DEVICE_EXISTS, BLKTAP_SETUP_FAILED
   */
  setUp(shape: DiskShape): void {
    try {
      if (this.module.kind === 'blktap1') this.setInterposing();
      else this.createBlockDevice(shape);
    } catch (error) {
      this.close();
      if (error instanceof TapdiskError) throw error;
      throw new TapdiskError(
        'BLKTAP_SETUP_FAILED',
        `${this.path} was mapped but refused to be set up: ${sentenceOf(error)}.`,
        { cause: error },
      );
    }
  }

  private setInterposing(): void {
    this.system.ioctl(this.fd, IOCTL_SENDPID, process.pid);
    this.system.ioctl(this.fd, IOCTL_SETMODE, MODE_INTERPOSE);
  }

  private createBlockDevice(shape: DiskShape): void {
    const plain = shape.readOnly ? DEVICE_FLAG_READ_ONLY : 0;
    let wanted = plain;
    if (this.module.kind === 'blktap2-openxt') {
      wanted |= DEVICE_FLAG_FLUSH;
      if (shape.discardGranularityBytes > 0) wanted |= DEVICE_FLAG_TRIM;
    }
    try {
      this.flags = this.createWithFlags(shape, wanted);
    } catch (error) {
      if (errnoOf(error) === 'EINVAL' && wanted !== plain) {
        this.flags = this.createWithFlags(shape, plain);
      } else if (errnoOf(error) === 'ENOTTY') {
        // The first blktap2 modules have only the older call; it has no flags.
        this.createCompatibly(shape);
      } else if (errnoOf(error) === 'EEXIST') {
        throw new TapdiskError(
          'BLKTAP_DEVICE_EXISTS',
          `${this.path} already has a block device, left by a server that ended; ` +
            `free the tap and allocate a new one.`,
          { cause: error },
        );
      } else {
        throw error;
      }
    }
    this.mustRemove = this.module.kind === 'blktap2-xenserver';
  }

  private createWithFlags(shape: DiskShape, flags: number): number {
    const { sectors, discardGranularityBytes } = shape;
    const info = encodeDeviceInfo({ sectors, discardGranularityBytes, flags });
    this.system.ioctlBuffer(this.fd, IOCTL_CREATE_DEVICE, info);
    // OpenXT's module clears the flags it does not know; XenServer's leaves them as they were.
    return decodeDeviceInfoFlags(info) & flags;
  }

  private createCompatibly(shape: DiskShape): void {
    const parameters = encodeCompatParameters(`tapdisk-ts ${this.module.minor}`, shape.sectors);
    this.system.ioctlBuffer(this.fd, IOCTL_CREATE_DEVICE_COMPAT, parameters);
  }

  /** From here on `onReadable` is called once for each edge, often for nothing. */
  startWatching(onReadable: () => void): void {
    this.watch = this.system.watch(this.fd, onReadable);
  }

  /**
   * poll(2): blktap1's and XenServer's modules put requests on the ring only inside it. What it
   * answers means nothing: OpenXT's says yes while any request is unanswered.
   */
  poll(): void {
    this.watch?.poll();
  }

  /** Hands pushed responses to the kernel; without this nothing completes. */
  kick(): void {
    this.system.ioctl(this.fd, IOCTL_KICK_FE, 0);
  }

  /** OpenXT's MESSAGE_*, or 0. */
  get message(): number {
    return this.isClosed ? 0 : this.mapping.bytes[MESSAGE_OFFSET];
  }

  /** Tells OpenXT's module that nothing is in flight. */
  acknowledgePause(): void {
    if (this.isClosed) return;
    this.system.ioctl(this.fd, IOCTL_PAUSE, 0);
  }

  acknowledgeResume(): void {
    if (this.isClosed) return;
    this.system.ioctl(this.fd, IOCTL_RESUME, 0);
  }

  /**
   * Removes XenServer's block device, which must happen while the ring is still served. OpenXT's
   * goes when the ring is closed, and fails its users' I/O if there are any; blktap1 has none.
   * False: somebody has it open.
   */
  removeBlockDevice(): boolean {
    if (this.module.kind === 'blktap2-openxt') return !this.isBlockDeviceOpen();
    if (!this.mustRemove) return true;
    try {
      this.system.ioctl(this.fd, IOCTL_REMOVE_DEVICE, 0);
    } catch (error) {
      if (errnoOf(error) === 'EBUSY') return false;
      throw error;
    }
    this.mustRemove = false;
    return true;
  }

  /** As sysfs tells; a module that does not tell is taken at its best. */
  private isBlockDeviceOpen(): boolean {
    for (const path of sysfsAttributes(this.module.minor, 'debug')) {
      const openers = /\bopeners:(\d+)/.exec(this.system.readText(path) ?? '');
      if (openers !== null) return openers[1] !== '0';
    }
    return false;
  }

  /** Unmaps, then closes. No request may be in flight. */
  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.watch?.stop();
    this.watch = null;
    this.mapping.unmap();
    this.system.close(this.fd);
  }
}

function openError(path: string, cause: unknown): TapdiskError {
  const options = { cause };
  switch (errnoOf(cause)) {
    case 'EBUSY':
      return new TapdiskError(
        'BLKTAP_IN_USE',
        `${path} is open in another process, and a ring has one server; detach that one first.`,
        options,
      );
    case 'ENXIO':
    case 'ENODEV':
      return new TapdiskError(
        'BLKTAP_NOT_ALLOCATED',
        `${path} has no ring behind it: its minor was never allocated, or was freed.`,
        options,
      );
    case 'EACCES':
    case 'EPERM':
      return new TapdiskError(
        'DEVICE_FORBIDDEN',
        `${path} may not be opened by this user; run as root.`,
        options,
      );
    default:
      return new TapdiskError(
        'BLKTAP_OPEN_FAILED',
        `${path} cannot be opened: ${sentenceOf(cause)}.`,
        options,
      );
  }
}
