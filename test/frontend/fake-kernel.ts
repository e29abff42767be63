/**
 * A kernel with one blktap device, that behaves as the modules of XenServer, OpenXT and blktap1
 * were seen to; where those crash, it notes the trap it was led into.
 */
import {
  ABI_BLKTAP2,
  ABI_NATIVE,
  BLKIF_OP_DISCARD,
  BLKIF_OP_FLUSH_DISKCACHE,
  BLKIF_OP_READ,
  BLKIF_OP_WRITE,
  BLKIF_OP_WRITE_BARRIER,
  FrontRing,
  initialiseSharedRing,
  RingRequest,
  RingResponse,
} from '../../lib/ring';
import type {
  BlktapSyscalls,
  DeviceNode,
  KernelMapping,
  KernelWatch,
} from '../../lib/frontend/blktap/blktap-syscalls';

export type KernelKind = 'xenserver' | 'openxt' | 'blktap1';

const PAGE = 4096;
const SLOTS = 32;
const SEGMENTS = 11;
const LENGTH = 353 * PAGE;
/** What a page holds that no request backs: touched on a real kernel, it is a SIGBUS. */
const POISON = 0xd5;
const POISON_PAGE = Buffer.alloc(PAGE, POISON);

/** What a process on top of the block device asked for. */
export interface BlockIo {
  readonly operation: number;
  readonly sector: number;
  readonly sectors: number;
  readonly data: Buffer;
  /** undefined until it ended; EIO as -5. */
  status: number | undefined;
}

interface InFlight {
  readonly io: BlockIo;
  readonly pages: number;
}

export interface FakeKernelOptions {
  minor?: number;
  /** OpenXT: the module refuses the FLUSH and TRIM flags. */
  refuseFlags?: boolean;
  /** Only the older CREATE_DEVICE is there. */
  compatOnly?: boolean;
  /** Path of the control node; none if undefined. */
  control?: string;
}

export class FakeKernel implements BlktapSyscalls {
  /** What would have crashed, hung or leaked on the real kernel. */
  readonly traps: string[] = [];
  /** Calls that matter, in order. */
  readonly calls: string[] = [];
  /** blktap2's block device, once it was created. */
  disk: { sectors: number; flags: number; physicalSectorSize: number } | null = null;
  blockDeviceOpen = false;
  tapAllocated = true;
  mode = 0;
  readonly path: string;
  readonly minor: number;

  private readonly memory = Buffer.from(new ArrayBuffer(LENGTH));
  private ring: FrontRing | null = null;
  private fd = -1;
  private controlFd = -1;
  private mapped = false;
  private spurious = false;
  private onReadable: (() => void) | null = null;
  private readonly queue: BlockIo[] = [];
  private readonly slots = new Array<InFlight | null>(SLOTS).fill(null);
  private nextFd = 100;

  constructor(
    readonly kind: KernelKind,
    private readonly options: FakeKernelOptions = {},
  ) {
    this.minor = options.minor ?? 3;
    this.path = {
      xenserver: '/dev/blktap/blktap',
      openxt: '/dev/blktap',
      blktap1: '/dev/xen/blktap',
    }[kind].concat(String(this.minor));
  }

  // --- the block layer above

  /** A process reads or writes; the data of a read arrives in `data` once `status` is set. */
  issue(operation: number, sector: number, data: Buffer, sectors = data.length / 512): BlockIo {
    const io: BlockIo = { operation, sector, sectors, data, status: undefined };
    this.queue.push(io);
    if (this.kind === 'openxt') this.publish();
    this.wakeServer();
    return io;
  }

  /** The last user of the block device closes it: POLLIN without a request. */
  closeBlockDevice(): void {
    this.blockDeviceOpen = false;
    this.spurious = true;
    this.wakeServer();
  }

  sendMessage(message: number): void {
    this.memory[16] = message;
    this.wakeServer();
  }

  get message(): number {
    return this.memory[16];
  }

  // --- what the server calls

  characterDevice(path: string): DeviceNode | undefined {
    if (path === this.options.control) return { major: 10, minor: 55 };
    if (path !== this.path || !this.tapAllocated) return undefined;
    return { major: 240, minor: this.minor };
  }

  readText(path: string): string | undefined {
    if (this.kind === 'openxt' && path === `/sys/class/blktap2/blktap${this.minor}/debug`) {
      return `tap 240:${this.minor}\nbdev openers:${this.blockDeviceOpen ? 1 : 0} closed:0\n`;
    }
    if (path !== '/proc/devices') return undefined;
    const name = this.kind === 'blktap1' ? 'blktap' : 'blktap2';
    return `Character devices:\n  1 mem\n 10 misc\n240 ${name}\n\nBlock devices:\n240 tapdev\n`;
  }

  exists(path: string): boolean {
    return this.kind === 'openxt' && path === `/sys/class/blktap2/blktap${this.minor}/pause`;
  }

  open(path: string): number {
    this.calls.push(`open ${path}`);
    if (path === this.options.control) return (this.controlFd = this.nextFd++);
    if (this.fd !== -1) throw errno('EBUSY');
    if (!this.tapAllocated) throw errno('ENXIO');
    this.fd = this.nextFd++;
    if (this.kind === 'blktap1') this.startRing();
    return this.fd;
  }

  close(fd: number): void {
    if (fd === this.controlFd) {
      this.controlFd = -1;
      return;
    }
    this.calls.push('close');
    if (this.mapped) this.traps.push('closed before it was unmapped');
    if (this.kind === 'xenserver' && this.disk !== null) {
      this.traps.push('closed with the block device there: release() blocks while it is open');
    }
    if (this.kind === 'openxt' && this.blockDeviceOpen) {
      this.traps.push('closed with the block device open: its users lose it');
    }
    if (this.kind === 'openxt' && this.message === 3) this.tapAllocated = false;
    if (this.kind !== 'xenserver') this.disk = null;
    this.fd = -1;
  }

  map(fd: number, lengthBytes: number, offset: number): KernelMapping {
    this.calls.push('mmap');
    if (fd !== this.fd) throw errno('EBADF');
    if (this.mapped) throw errno('EBUSY');
    if (lengthBytes !== LENGTH && this.kind === 'blktap1') throw errno('EAGAIN');
    if (lengthBytes !== LENGTH || offset !== 0) {
      this.traps.push('mapped another area than the ring');
    }
    if (this.kind !== 'blktap1') this.startRing();
    this.memory.fill(POISON, PAGE);
    this.mapped = true;
    return { bytes: this.memory, address: 0x7f0000000000, unmap: () => this.unmap() };
  }

  ioctl(fd: number, request: number, value: number): number {
    if (fd === this.controlFd) return this.controlIoctl(request, value);
    this.checkRingIoctl(request);
    switch (request) {
      case 1:
        return this.respond();
      case 3:
        if (this.kind !== 'blktap1') throw errno('ENOTTY');
        this.mode = value;
        return 0;
      case 4:
        if (this.kind !== 'blktap1') throw errno('ENOTTY');
        if (value !== process.pid) this.traps.push('SENDPID of another process');
        return 0;
      case 204:
      case 206:
        return this.acknowledge(request);
      case 207:
        return this.removeDevice();
      default:
        throw errno('ENOTTY');
    }
  }

  ioctlBuffer(fd: number, request: number, argument: Buffer): number {
    if (fd === this.controlFd) return this.allocateTap(request, argument);
    this.checkRingIoctl(request);
    if (request === 202 && this.kind !== 'blktap1') {
      if (argument.length !== 272) this.traps.push('CREATE_DEVICE_COMPAT takes 272 bytes');
      return this.create(argument.readBigUInt64LE(256), argument.readUInt32LE(264), 512, 0);
    }
    if (request === 208 && this.kind !== 'blktap1' && this.options.compatOnly !== true) {
      return this.createDevice(argument);
    }
    throw errno('ENOTTY');
  }

  watch(fd: number, onReadable: () => void): KernelWatch {
    this.calls.push('watch');
    if (fd !== this.fd) throw errno('EBADF');
    this.onReadable = onReadable;
    // Adding a file to epoll polls it.
    if (this.poll()) this.wakeServer();
    return {
      poll: () => this.poll(),
      stop: () => {
        this.onReadable = null;
      },
    };
  }

  /** At the end of a test: nothing may have touched pages that were no longer the server's. */
  checkPages(): void {
    for (let page = 0; page < SLOTS * SEGMENTS; page++) {
      const slot = this.slots[Math.floor(page / SEGMENTS)];
      if (slot !== null && page % SEGMENTS < slot.pages) continue;
      const at = (1 + page) * PAGE;
      if (this.memory.compare(POISON_PAGE, 0, PAGE, at, at + PAGE) !== 0) {
        this.traps.push(`page ${page} was touched outside the life of its request`);
        this.memory.fill(POISON, at, at + PAGE);
      }
    }
  }

  private poll(): boolean {
    if (!this.mapped) {
      if (this.kind === 'blktap1') return false;
      this.traps.push('poll without a mapping: kernel oops');
      return false;
    }
    const spurious = this.spurious;
    this.spurious = false;
    if (this.kind === 'openxt') {
      this.publish();
      return spurious || this.message !== 0 || this.slots.some((slot) => slot !== null);
    }
    return this.publish() || spurious;
  }

  /** An edge: epoll asks the file by poll, and tells the server if it says yes. */
  private wakeServer(): void {
    setImmediate(() => {
      if (this.onReadable !== null && this.poll()) this.onReadable?.();
    });
  }

  private startRing(): void {
    const page = this.memory.subarray(0, PAGE);
    page.fill(0);
    initialiseSharedRing(page);
    const abi = this.kind === 'blktap1' ? ABI_NATIVE : ABI_BLKTAP2;
    this.ring = new FrontRing(page, abi, 1, { notifyAlways: true });
  }

  /** Puts queued I/O on the ring as far as it goes. */
  private publish(): boolean {
    if (!this.mapped) return false;
    let published = false;
    for (;;) {
      const slot = this.slots.indexOf(null);
      if (slot < 0 || this.queue.length === 0) break;
      this.putRequest(slot, this.queue.shift()!);
      published = true;
    }
    this.ring!.push();
    return published;
  }

  private putRequest(slot: number, io: BlockIo): void {
    const request = new RingRequest();
    const pages =
      io.operation === BLKIF_OP_READ || io.operation === BLKIF_OP_WRITE
        ? Math.ceil(io.data.length / PAGE)
        : 0;
    Object.assign(request, { operation: io.operation, idLow: slot, sector: io.sector });
    if (io.operation === BLKIF_OP_DISCARD) request.nrSectors = io.sectors;
    request.nrSegments = request.segmentCount = pages;
    const area = this.area(slot, pages);
    // Reads find what some earlier request left in the kernel's pool of pages.
    area.fill(0x5a);
    for (let segment = 0; segment < pages; segment++) {
      request.lastSect[segment] = Math.min(7, io.data.length / 512 - segment * 8 - 1);
    }
    if (io.operation === BLKIF_OP_WRITE) io.data.copy(area);
    this.slots[slot] = { io, pages };
    this.ring!.put(request);
  }

  private area(slot: number, pages: number): Buffer {
    const from = (1 + slot * SEGMENTS) * PAGE;
    return this.memory.subarray(from, from + pages * PAGE);
  }

  /** KICK_FE / RESPOND. */
  private respond(): number {
    this.calls.push('kick');
    if (this.kind === 'blktap1' && (this.mode & 1) === 0) return 0;
    this.checkPages();
    const response = new RingResponse();
    while (this.ring!.next(response)) this.endRequest(response);
    if (this.ring!.stopped !== null) this.traps.push(this.ring!.stopped.message);
    if (this.kind === 'openxt') {
      this.publish();
      this.wakeServer();
    }
    return 0;
  }

  private endRequest(response: RingResponse): void {
    const { idLow, idHigh, wireOperation, status } = response;
    const slot = idHigh === 0 ? this.slots[idLow] : undefined;
    if (slot === null || slot === undefined) {
      this.traps.push(`answer to id ${idLow}, which is not in flight: kernel oops`);
      return;
    }
    const { io, pages } = slot;
    const area = this.area(idLow, pages);
    const abi = this.kind === 'blktap1' ? ABI_NATIVE : ABI_BLKTAP2;
    if (wireOperation !== abi.wireOperationOf(io.operation)) {
      this.traps.push(`answer to id ${idLow} with operation ${wireOperation}: invalid response`);
    }
    if (io.operation === BLKIF_OP_READ) area.copy(io.data, 0, 0, io.data.length);
    if (io.operation === BLKIF_OP_WRITE && !area.subarray(0, io.data.length).equals(io.data)) {
      this.traps.push(`the pages of write ${idLow} were written to: SIGSEGV on blktap1`);
    }
    area.fill(POISON);
    this.slots[idLow] = null;
    io.status = status === 0 ? 0 : -5;
  }

  private checkRingIoctl(request: number): void {
    if (this.fd === -1) throw errno('EBADF');
    this.calls.push(`ioctl ${request}`);
    if (this.kind !== 'blktap1' && !this.mapped) throw errno('EACCES');
  }

  private createDevice(info: Buffer): number {
    if (info.length < 56) this.traps.push('CREATE_DEVICE takes 56 bytes on XenServer');
    const flags = info.readUInt32LE(16);
    if (this.kind === 'xenserver') {
      if (flags > 1) throw errno('EINVAL');
      return this.create(
        info.readBigUInt64LE(0),
        info.readUInt32LE(8),
        info.readUInt32LE(12),
        flags,
      );
    }
    if (this.options.refuseFlags === true && flags > 1) throw errno('EINVAL');
    if ((flags & 8) !== 0 && info.readUInt32LE(32) === 0) {
      this.traps.push('TRIM without a granularity');
    }
    const result = this.create(info.readBigUInt64LE(0), info.readUInt32LE(8), 512, flags & 0xf);
    info.writeUInt32LE(flags & 0xf, 16);
    return result;
  }

  private create(sectors: bigint, sectorSize: number, physical: number, flags: number): number {
    if (sectors === 0n || sectorSize < 512 || sectorSize > 4096) throw errno('EINVAL');
    if (physical < sectorSize) throw errno('EINVAL');
    if (this.disk !== null) throw errno('EEXIST');
    this.disk = { sectors: Number(sectors), flags, physicalSectorSize: physical };
    return 0;
  }

  private removeDevice(): number {
    if (this.kind === 'blktap1') throw errno('ENOTTY');
    if (this.blockDeviceOpen) throw errno('EBUSY');
    if (this.kind === 'openxt' && this.message === 3) {
      this.traps.push('REMOVE_DEVICE after CLOSE: the tap leaks');
    }
    this.disk = null;
    return 0;
  }

  private acknowledge(request: number): number {
    if (this.kind !== 'openxt') throw errno('ENOTTY');
    if (this.message !== (request === 204 ? 1 : 2)) throw errno('EINVAL');
    if (request === 204 && this.slots.some((slot) => slot !== null)) {
      this.traps.push('paused with requests in flight');
    }
    this.memory[16] = 0;
    return 0;
  }

  private controlIoctl(request: number, minor: number): number {
    if (request !== 201) throw errno('ENOTTY');
    if (minor !== this.minor || !this.tapAllocated) throw errno('ENODEV');
    this.calls.push('free');
    if (this.kind === 'xenserver') {
      if (this.fd !== -1) throw errno('EBUSY');
      this.tapAllocated = false;
    } else if (this.fd === -1) {
      this.tapAllocated = false;
    } else if (this.mapped) {
      if (this.slots.some((slot) => slot !== null)) {
        this.traps.push('FREE_TAP with requests in flight: it waits for them');
      }
      this.sendMessage(3);
    }
    return 0;
  }

  private allocateTap(request: number, answer: Buffer): number {
    if (request !== 200) throw errno('ENOTTY');
    this.tapAllocated = true;
    answer.writeUInt32LE(240, 0);
    answer.writeUInt32LE(253, 4);
    answer.writeUInt32LE(this.minor, 8);
    return 0;
  }

  private unmap(): void {
    this.calls.push('munmap');
    if (!this.mapped) throw errno('EINVAL');
    if (this.onReadable !== null) {
      this.traps.push('unmapped while watched: poll reads a freed page');
    }
    this.checkPages();
    for (const [slot, inFlight] of this.slots.entries()) {
      if (inFlight === null) continue;
      this.traps.push(`unmapped with request ${slot} in flight: it failed`);
      inFlight.io.status = -5;
    }
    this.mapped = false;
  }
}

function errno(code: string): Error {
  return Object.assign(new Error(`${code}: fake kernel`), { code });
}

export {
  BLKIF_OP_DISCARD,
  BLKIF_OP_FLUSH_DISKCACHE,
  BLKIF_OP_READ,
  BLKIF_OP_WRITE,
  BLKIF_OP_WRITE_BARRIER,
};
