/** The two sides' common view of a ring's shared memory. */
import { assert } from '../assert';
import type { RingAbi } from './abi';
import {
  HEADER_BYTES,
  PAGE_BYTES,
  REQ_EVENT_OFFSET,
  REQ_PROD_OFFSET,
  RSP_EVENT_OFFSET,
  RSP_PROD_OFFSET,
  ringEntries,
} from './layout';

const WORD_BYTES = 4;
/** struct blkif_response without its trailing padding: id, operation, status. */
const RESPONSE_WORDS = 3;

/** Words of the header, as indices into `SharedRing.header`. */
export const REQ_PROD = REQ_PROD_OFFSET / WORD_BYTES;
export const REQ_EVENT = REQ_EVENT_OFFSET / WORD_BYTES;
export const RSP_PROD = RSP_PROD_OFFSET / WORD_BYTES;
export const RSP_EVENT = RSP_EVENT_OFFSET / WORD_BYTES;

/**
 * Views of the ring pages, and one private entry. The views keep the pages' ArrayBuffer alive.
 * Indices are kept as i32, which V8 holds without allocating; differences are taken as u32.
 */
export class SharedRing {
  readonly entries: number;
  /** Only ever read and written through Atomics. */
  readonly header: Int32Array;
  /** An entry copied out of shared memory; everything is decoded from here. */
  readonly scratch: DataView;
  /** The shared entries, to write to. */
  readonly slots: DataView;
  private readonly slotWords: Int32Array;
  private readonly scratchWords: Int32Array;
  private readonly indexMask: number;
  private readonly entryWords: number;

  /** `bytes`: exactly the ring's pages, 4-byte aligned. Throws RING_PAGES. */
  constructor(
    bytes: Buffer,
    readonly abi: RingAbi,
    pages: number,
  ) {
    this.entries = ringEntries(abi, pages);
    assert(bytes.length === pages * PAGE_BYTES, 'the buffer is the whole ring and nothing else');
    assert(bytes.byteOffset % WORD_BYTES === 0, 'the ring is aligned to 4 bytes');
    this.header = new Int32Array(bytes.buffer, bytes.byteOffset, HEADER_BYTES / WORD_BYTES);
    const slotsOffset = bytes.byteOffset + HEADER_BYTES;
    const slotsBytes = this.entries * abi.entryBytes;
    assert(HEADER_BYTES + slotsBytes <= bytes.length, 'the entries are inside the ring');
    this.slots = new DataView(bytes.buffer, slotsOffset, slotsBytes);
    this.slotWords = new Int32Array(bytes.buffer, slotsOffset, slotsBytes / WORD_BYTES);
    this.indexMask = this.entries - 1;
    this.entryWords = abi.entryBytes / WORD_BYTES;
    this.scratchWords = new Int32Array(this.entryWords);
    this.scratch = new DataView(this.scratchWords.buffer);
  }

  /** Offset of the entry of a free-running index, in `slots`. */
  slotOffset(index: number): number {
    return (index & this.indexMask) * this.abi.entryBytes;
  }

  /** Copies the request of a free-running index to `scratch`: each word is read once, or never. */
  copyRequestOut(index: number): void {
    this.copyRequestTo(index, this.scratchWords, 0);
  }

  /** The same, to the words from `at` on. */
  copyRequestTo(index: number, words: Int32Array, at: number): void {
    const { slotWords } = this;
    const from = (index & this.indexMask) * this.entryWords;
    const first = slotWords[from];
    words[at] = first;
    // How long it is comes from the copy of its first word, so a rewrite cannot tear it apart.
    const count = this.abi.requestBytes(first) / WORD_BYTES;
    for (let word = 1; word < count; word++) words[at + word] = slotWords[from + word];
  }

  /** Whether the slot of a free-running index still holds the request that was copied from it. */
  holdsRequest(index: number, words: Int32Array, at: number): boolean {
    const from = (index & this.indexMask) * this.entryWords;
    const count = this.abi.requestBytes(words[at]) / WORD_BYTES;
    for (let word = 0; word < count; word++) {
      if (words[at + word] !== this.slotWords[from + word]) return false;
    }
    return true;
  }

  /** The same for a response. */
  copyResponseOut(index: number): void {
    const { slotWords, scratchWords } = this;
    const from = (index & this.indexMask) * this.entryWords;
    for (let word = 0; word < RESPONSE_WORDS; word++) scratchWords[word] = slotWords[from + word];
  }
}

/** Makes the header that both sides start from (ring.h's SHARED_RING_INIT): the front end's job. */
export function initialiseSharedRing(bytes: Buffer): void {
  bytes.fill(0, 0, HEADER_BYTES);
  bytes.writeUInt32LE(1, REQ_EVENT_OFFSET);
  bytes.writeUInt32LE(1, RSP_EVENT_OFFSET);
}
