/** Asks a store for one thing at a time, or for many, and waits for the ends. */
import { CHUNK_READ, CHUNK_WRITE, ChunkIo, type ChunkOperation } from '../../lib/store/chunk-io';
import type { ChunkStore } from '../../lib/store/chunk-store';
import { heapArea, type MemoryArea } from '../../lib/store/memory-area';

/** What reads find in their memory before they begin, to show what they did not fill. */
export const UNREAD = 0xee;

export interface Place {
  readonly layer?: number;
  readonly chunk: number;
  readonly offset?: number;
}

export class StoreDriver {
  constructor(readonly store: ChunkStore) {}

  /** Resolves to the errno. */
  async write(place: Place, bytes: Buffer): Promise<number> {
    const memory = heapArea(bytes.length);
    bytes.copy(memory.bytes);
    return this.transfer(CHUNK_WRITE, place, memory, 0, bytes.length);
  }

  /** Resolves to the bytes; rejects where there is an errno. */
  async read(place: Place, length: number): Promise<Buffer> {
    const memory = heapArea(length);
    memory.bytes.fill(UNREAD);
    const errno = await this.transfer(CHUNK_READ, place, memory, 0, length);
    if (errno !== 0) throw new Error(`errno ${errno}`);
    return memory.bytes;
  }

  async transfer(
    operation: ChunkOperation,
    place: Place,
    memory: MemoryArea,
    memoryOffset: number,
    length: number,
  ): Promise<number> {
    const ended = this.submit(operation, place, memory, memoryOffset, length);
    this.store.kick();
    return ended;
  }

  /** Without the kick. Rejects where the transfer ends from inside submit, or twice. */
  submit(
    operation: ChunkOperation,
    { layer = 1, chunk, offset = 0 }: Place,
    memory: MemoryArea,
    memoryOffset: number,
    length: number,
  ): Promise<number> {
    return new Promise((resolve, reject) => {
      const io = new ChunkIo();
      Object.assign(io, { operation, layer, chunk, offset, memory, memoryOffset, length });
      let isSubmitting = true;
      let ends = 0;
      io.owner = {
        chunkIoDone: () => {
          if (isSubmitting) reject(new Error('a transfer ended from inside submit'));
          else if (++ends > 1) reject(new Error('a transfer ended twice'));
          else resolve(io.errno);
        },
      };
      this.store.submit(io);
      isSubmitting = false;
    });
  }

  sync(): Promise<number> {
    return new Promise((resolve) => this.store.sync(resolve));
  }

  punch({ layer = 1, chunk, offset = 0 }: Place, length: number): Promise<number> {
    return new Promise((resolve) => this.store.punch(layer, chunk, offset, length, resolve));
  }
}

/** Bytes that tell their own place: no two 512-byte pieces of different seeds are alike. */
export function pattern(length: number, seed: number): Buffer {
  const bytes = Buffer.alloc(Math.ceil(length / 4) * 4);
  for (let at = 0; at < length; at += 4) bytes.writeUInt32LE((seed * 0x10001 + at) >>> 0, at);
  return bytes.subarray(0, length);
}

/** As toEqual, which takes seconds for a few chunks; says where the first difference is. */
export function expectBytes(actual: Buffer, expected: Buffer): void {
  expect(actual.length).toBe(expected.length);
  if (actual.equals(expected)) return;
  const at = actual.findIndex((byte, i) => byte !== expected[i]);
  throw new Error(`byte ${at} is ${actual[at]}, not ${expected[at]}`);
}

export const zeros = (length: number): Buffer => Buffer.alloc(length);
