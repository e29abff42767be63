/**
 * What a back end has taken off a ring and not yet answered, in memory that outlives its process.
 *
 * The ring alone cannot tell: responses lie in the slots of requests, those of requests that are
 * still in flight too, so a slot may hold the answer to another. Hence every request is copied out
 * of the ring into an entry of this journal, once, and decoded from there.
 *
 * A process may die between any two stores, and whoever comes next sees those before it and none
 * after it: one process writes at a time, and the processor makes stores visible in their order
 * (x86-64; the index words are stored by Atomics, which keeps the compiler to it, and others too).
 * So each step ends with one store that makes it count:
 *
 *   take     copy the request, note its index, then state = TAKEN, then requestConsumer + 1. Before
 *            the last, the request is taken afresh, from its slot, where nothing is written before
 *            as many requests were answered as had been put.
 *   answer   note the response's index, then state = ANSWERED. Counts only once published.
 *   publish  responseIntended = n; then the ring's rsp_prod = n; then responsePublished = n; then
 *            the entries answered before n are FREE. The guest may write to rsp_prod as it likes:
 *            it is believed where it is one of the two values, and nothing but what died in
 *            between makes these differ.
 *
 * `recover` makes the stores of a publish that was cut short, and turns answers that were not
 * published back into requests taken: the guest has not heard them, its pages are still ours, and
 * reads, writes, discards and flushes may all be done twice.
 */
import { assert } from '../assert';
import { NATIVE_ENTRY_BYTES } from './layout';

const WORD_BYTES = 4;

const REQUEST_CONSUMER = 0;
const RESPONSE_PUBLISHED = 1;
const RESPONSE_INTENDED = 2;
const RESPONSES_WRITTEN = 3;
const HEADER_BYTES = 64;
const HEADER_WORDS = HEADER_BYTES / WORD_BYTES;

/** An entry: state, index of the request, index of the response, one unused word, the request. */
const STATE = 0;
const REQUEST_INDEX = 1;
const RESPONSE_INDEX = 2;
const REQUEST = 4;
const ENTRY_WORDS = REQUEST + NATIVE_ENTRY_BYTES / WORD_BYTES;

const STATE_FREE = 0;
const STATE_TAKEN = 1;
const STATE_ANSWERED = 2;

/** Bytes of the journal of one ring. */
export function journalBytes(ringEntries: number): number {
  return HEADER_BYTES + ringEntries * ENTRY_WORDS * WORD_BYTES;
}

/** The journal of one ring, with as many entries as the ring: no guest can have more in flight. */
export class RingJournal {
  /** All of it; a request lies at `requestWord` of its entry. */
  readonly words: Int32Array;
  readonly bytes: DataView;
  /** Entries that are free, the next one last. */
  private readonly freeEntries: Uint16Array;
  private freeCount = 0;
  /** By the low bits of a response's index: the entry that it answers. */
  private readonly answeredBy: Uint16Array;
  private readonly indexMask: number;

  /** `memory`: journalBytes(entries) bytes, 4-byte aligned; `start` or `recover` comes first. */
  constructor(
    memory: Buffer,
    readonly entries: number,
  ) {
    assert(memory.length === journalBytes(entries), 'a journal has an entry for each of the ring');
    assert(memory.byteOffset % WORD_BYTES === 0, 'a journal is aligned to 4 bytes');
    const { buffer, byteOffset, length } = memory;
    this.words = new Int32Array(buffer, byteOffset, length / WORD_BYTES);
    this.bytes = new DataView(buffer, byteOffset, length);
    this.freeEntries = new Uint16Array(entries);
    this.answeredBy = new Uint16Array(entries);
    this.indexMask = entries - 1;
  }

  get requestConsumer(): number {
    return this.words[REQUEST_CONSUMER];
  }

  get responsePublished(): number {
    return this.words[RESPONSE_PUBLISHED];
  }

  get responseIntended(): number {
    return this.words[RESPONSE_INTENDED];
  }

  /** Slots of the ring before this index hold no request any more, published or not. */
  get responsesWritten(): number {
    return this.words[RESPONSES_WRITTEN];
  }

  /** Begins a journal of a ring from which nothing was taken after `index`. */
  start(index: number): void {
    for (let entry = 0; entry < this.entries; entry++) this.setState(entry, STATE_FREE);
    for (let word = REQUEST_CONSUMER; word <= RESPONSES_WRITTEN; word++) {
      Atomics.store(this.words, word, index);
    }
    this.listFree();
  }

  /**
   * Takes up a journal whose ring has published its responses up to `published`: one of
   * responsePublished and responseIntended. Returns the entries still to be answered, in the order
   * of their requests; null where what is written here contradicts itself.
   */
  recover(published: number): number[] | null {
    assert(
      published === this.responsePublished || published === this.responseIntended,
      'a journal is recovered from an index that it knows',
    );
    const unanswered = this.unansweredAfter(published);
    if (unanswered === null) return null;
    Atomics.store(this.words, RESPONSE_PUBLISHED, published);
    Atomics.store(this.words, RESPONSE_INTENDED, published);
    const keep = new Set(unanswered);
    for (let entry = 0; entry < this.entries; entry++) {
      this.setState(entry, keep.has(entry) ? STATE_TAKEN : STATE_FREE);
    }
    this.listFree();
    return unanswered;
  }

  /** Where the request of an entry lies in `words`; its bytes in `bytes` begin at 4 times that. */
  requestWord(entry: number): number {
    return HEADER_WORDS + entry * ENTRY_WORDS + REQUEST;
  }

  /** The index that the request of an entry has on its ring. */
  requestIndex(entry: number): number {
    return this.words[HEADER_WORDS + entry * ENTRY_WORDS + REQUEST_INDEX];
  }

  /** An entry to copy the next request into; there is one for each request a ring can hold. */
  claim(): number {
    assert(this.freeCount > 0, 'no more requests are in flight than the ring has entries');
    return this.freeEntries[--this.freeCount];
  }

  /** The request was copied: from here on it is this entry's. */
  taken(entry: number, index: number): void {
    Atomics.store(this.words, HEADER_WORDS + entry * ENTRY_WORDS + REQUEST_INDEX, index);
    this.setState(entry, STATE_TAKEN);
    Atomics.store(this.words, REQUEST_CONSUMER, (index + 1) | 0);
  }

  /** The entry's request is answered by the response of that index, which is written after this. */
  answered(entry: number, responseIndex: number): void {
    assert(this.state(entry) === STATE_TAKEN, 'a request is answered once');
    Atomics.store(this.words, HEADER_WORDS + entry * ENTRY_WORDS + RESPONSE_INDEX, responseIndex);
    this.setState(entry, STATE_ANSWERED);
    const written = (responseIndex + 1) | 0;
    if (((written - this.responsesWritten) | 0) > 0) {
      Atomics.store(this.words, RESPONSES_WRITTEN, written);
    }
    this.answeredBy[responseIndex & this.indexMask] = entry;
  }

  /** Before rsp_prod is stored. */
  intend(producer: number): void {
    Atomics.store(this.words, RESPONSE_INTENDED, producer);
  }

  /** After rsp_prod was stored: the entries of all answers before `producer` are free. */
  published(producer: number): void {
    let index = this.responsePublished;
    Atomics.store(this.words, RESPONSE_PUBLISHED, producer);
    for (; index !== producer; index = (index + 1) | 0) {
      const entry = this.answeredBy[index & this.indexMask];
      this.setState(entry, STATE_FREE);
      this.freeEntries[this.freeCount++] = entry;
    }
  }

  /** As `recover` returns them, and nothing is stored. */
  unansweredAfter(published: number): number[] | null {
    const taken = (this.requestConsumer - published) >>> 0;
    if (taken > this.entries) return null;
    const found: number[] = [];
    for (let entry = 0; entry < this.entries; entry++) {
      if (!this.isUnanswered(entry, published)) continue;
      found.push(entry);
    }
    if (found.length !== taken) return null;
    const age = (entry: number): number => (this.requestConsumer - this.requestIndex(entry)) >>> 0;
    found.sort((a, b) => age(b) - age(a));
    const isTwice = found.some((entry, at) => at > 0 && age(entry) === age(found[at - 1]));
    return isTwice ? null : found;
  }

  private isUnanswered(entry: number, published: number): boolean {
    const state = this.state(entry);
    if (state !== STATE_TAKEN && state !== STATE_ANSWERED) return false;
    // Where death came before requestConsumer was stored, it is still on the ring to be taken.
    if (this.requestIndex(entry) === this.requestConsumer) return false;
    if (state === STATE_TAKEN) return true;
    const responseIndex = this.words[HEADER_WORDS + entry * ENTRY_WORDS + RESPONSE_INDEX];
    return ((responseIndex - published) | 0) >= 0;
  }

  private listFree(): void {
    this.freeCount = 0;
    for (let entry = this.entries; entry-- > 0;) {
      if (this.state(entry) === STATE_FREE) this.freeEntries[this.freeCount++] = entry;
    }
  }

  private state(entry: number): number {
    return this.words[HEADER_WORDS + entry * ENTRY_WORDS + STATE];
  }

  private setState(entry: number, state: number): void {
    Atomics.store(this.words, HEADER_WORDS + entry * ENTRY_WORDS + STATE, state);
  }
}
