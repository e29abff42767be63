/** Memory areas registered with an io_uring, so that their pages need not be looked up each time. */
import type { Addon } from './addon';
import type { EngineMemory } from './io-engine';
import { URING_REGISTERED_AREAS_MAX, URING_REGISTERED_AREA_BYTES_MAX } from './limits';
import * as layout from './uring-layout';

/** Not a registered area. */
export const UNREGISTERED = -1;

/** A sparse table of registered areas; what the kernel refuses stays unregistered, silently. */
export class UringMemory {
  private readonly indices = new Map<EngineMemory, number>();
  private readonly free: number[] = [];
  /** The area asked for last: a ring's data pages, nearly always. */
  private lastMemory: EngineMemory | null = null;
  private lastIndex = UNREGISTERED;
  private state: 'untried' | 'ready' | 'refused' = 'untried';

  constructor(
    private readonly native: Addon,
    private readonly ringFd: number,
  ) {}

  /** Index of the registered area, or UNREGISTERED. */
  indexOf(memory: EngineMemory): number {
    if (memory === this.lastMemory) return this.lastIndex;
    const index = this.indices.get(memory) ?? UNREGISTERED;
    this.lastMemory = memory;
    this.lastIndex = index;
    return index;
  }

  register(memory: EngineMemory): void {
    if (memory.address === 0 || memory.bytes.length > URING_REGISTERED_AREA_BYTES_MAX) return;
    if (this.indices.has(memory) || !this.ready()) return;
    const index = this.free.pop();
    if (index === undefined) return;
    if (!this.update(index, memory.address, memory.bytes.length)) {
      this.free.push(index);
      return;
    }
    this.indices.set(memory, index);
    this.lastMemory = null;
  }

  unregister(memory: EngineMemory): void {
    const index = this.indices.get(memory);
    if (index === undefined) return;
    this.indices.delete(memory);
    this.lastMemory = null;
    // Only an entry that the kernel has emptied may be used again.
    if (this.update(index, 0, 0)) this.free.push(index);
  }

  /** Makes the empty table (kernel 5.19) when it is first needed. */
  private ready(): boolean {
    if (this.state !== 'untried') return this.state === 'ready';
    const argument = Buffer.alloc(layout.RSRC_BYTES);
    argument.writeUInt32LE(URING_REGISTERED_AREAS_MAX, layout.RSRC_REGISTER_COUNT);
    argument.writeUInt32LE(layout.RSRC_REGISTER_SPARSE, layout.RSRC_REGISTER_FLAGS);
    const made = this.call(layout.REGISTER_BUFFERS2, argument);
    this.state = made ? 'ready' : 'refused';
    for (let index = URING_REGISTERED_AREAS_MAX; made && index-- > 0;) this.free.push(index);
    return made;
  }

  /** Puts an area into the table, or an empty one to take it out. */
  private update(index: number, address: number, lengthBytes: number): boolean {
    // One buffer for the request and the struct iovec it points to: both live as long as the call.
    const argument = Buffer.alloc(layout.RSRC_BYTES + layout.IOVEC_BYTES);
    const vector = this.native.addressOf(argument) + layout.RSRC_BYTES;
    argument.writeUInt32LE(index, layout.RSRC_UPDATE_OFFSET);
    argument.writeBigUInt64LE(BigInt(vector), layout.RSRC_UPDATE_DATA);
    argument.writeUInt32LE(1, layout.RSRC_UPDATE_COUNT);
    argument.writeBigUInt64LE(BigInt(address), layout.RSRC_BYTES);
    argument.writeBigUInt64LE(BigInt(lengthBytes), layout.RSRC_BYTES + 8);
    return this.call(layout.REGISTER_BUFFERS_UPDATE, argument);
  }

  private call(opcode: number, argument: Buffer): boolean {
    return this.native.ringRegister(this.ringFd, opcode, argument, layout.RSRC_BYTES) >= 0;
  }
}
