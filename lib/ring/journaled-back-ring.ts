/** A back ring whose process may die and be followed by another, without the guest's noticing. */
import { assert } from '../assert';
import type { RingAbi } from './abi';
import { BackRing } from './back-ring';
import type { RingJournal } from './ring-journal';
import type { RingRequest } from './ring-request';
import { RingStopped } from './ring-stopped';
import { REQ_PROD, RSP_PROD, SharedRing } from './shared-ring';

const WORD_BYTES = 4;

/** Where a ring goes on, and the entries of its journal that are to be done again, in order. */
interface Continuation {
  readonly startIndex: number;
  readonly requestConsumer: number;
  readonly unanswered: readonly number[];
}

/**
 * As BackRing; requests are kept in the journal from when they are taken until their response is
 * published. After a death, `next` first gives those that were not, once more, then goes on.
 */
export class JournaledBackRing extends BackRing {
  /** Entries to be given again, the next one last. */
  private readonly again: number[];

  /** A ring of which nothing was taken yet. */
  static fresh(bytes: Buffer, abi: RingAbi, pages: number, journal: RingJournal): BackRing {
    return new JournaledBackRing(
      bytes,
      abi,
      pages,
      journal,
      startAfresh(bytes, abi, pages, journal),
    );
  }

  /**
   * A ring that another process served, with the journal that it left; null: it left none that is
   * of this ring. A ring that nobody has answered anything on, and that is not the journal's, was
   * made afresh by its guest meanwhile.
   *
   * @throws RingStopped RING_RESPONSES_REWRITTEN, RING_JOURNAL_CORRUPT, RING_JOURNAL_LOST
   */
  static takenOver(
    bytes: Buffer,
    abi: RingAbi,
    pages: number,
    journal: RingJournal,
    isOfThisRing: boolean,
  ): BackRing {
    const continuation = isOfThisRing
      ? continueFrom(bytes, abi, pages, journal)
      : continueWithout(bytes, abi, pages, journal);
    return new JournaledBackRing(bytes, abi, pages, journal, continuation);
  }

  private constructor(
    bytes: Buffer,
    abi: RingAbi,
    pages: number,
    private readonly journal: RingJournal,
    continuation: Continuation,
  ) {
    super(bytes, abi, pages, continuation);
    assert(journal.entries === this.entries, 'the journal is as large as its ring');
    this.again = [...continuation.unanswered].reverse();
  }

  override next(out: RingRequest): boolean {
    const repeated = this.again.pop();
    if (repeated !== undefined) return this.decode(repeated, out);
    if (this.requestConsumer === this.requestProducer && this.unconsumed() === 0) return false;
    const { journal, shared } = this;
    const index = this.requestConsumer;
    const entry = journal.claim();
    shared.copyRequestTo(index, journal.words, journal.requestWord(entry));
    journal.taken(entry, index);
    this.requestConsumer = (index + 1) | 0;
    return this.decode(entry, out);
  }

  override respond(
    idLow: number,
    idHigh: number,
    wireOperation: number,
    status: number,
    journalEntry: number,
  ): void {
    if (this.stopped === null) this.journal.answered(journalEntry, this.responseProducer);
    super.respond(idLow, idHigh, wireOperation, status);
  }

  override push(): boolean {
    const producer = this.responseProducer;
    if (producer === this.responsePublished || this.stopped !== null) return false;
    this.journal.intend(producer);
    const mustNotify = super.push();
    this.journal.published(producer);
    return mustNotify;
  }

  private decode(entry: number, out: RingRequest): boolean {
    const { journal, shared } = this;
    shared.abi.decodeRequest(journal.bytes, journal.requestWord(entry) * WORD_BYTES, out);
    out.journalEntry = entry;
    return true;
  }
}

function startAfresh(
  bytes: Buffer,
  abi: RingAbi,
  pages: number,
  journal: RingJournal,
): Continuation {
  const startIndex = Atomics.load(new SharedRing(bytes, abi, pages).header, RSP_PROD);
  journal.start(startIndex);
  return { startIndex, requestConsumer: startIndex, unanswered: [] };
}

function continueFrom(
  bytes: Buffer,
  abi: RingAbi,
  pages: number,
  journal: RingJournal,
): Continuation {
  const shared = new SharedRing(bytes, abi, pages);
  const published = Atomics.load(shared.header, RSP_PROD);
  const { responsePublished, responseIntended } = journal;
  const isKnown = published === responsePublished || published === responseIntended;
  if (published === 0 && (!isKnown || !holdsAllTaken(shared, journal))) {
    return startAfresh(bytes, abi, pages, journal);
  }
  if (!isKnown) {
    throw new RingStopped(
      'RING_RESPONSES_REWRITTEN',
      `the guest has written to its ring's rsp_prod: it is ${published >>> 0}, and ` +
        `${responsePublished >>> 0} was stored there; ` +
        'the ring is stopped until the front end reconnects',
    );
  }
  const unanswered = journal.recover(published);
  if (unanswered === null) {
    throw new RingStopped(
      'RING_JOURNAL_CORRUPT',
      `the ring's journal contradicts itself about the requests between ${published >>> 0} and ` +
        `${journal.requestConsumer >>> 0}; the ring is stopped until the front end reconnects`,
    );
  }
  return { startIndex: published, requestConsumer: journal.requestConsumer, unanswered };
}

/**
 * Whether a ring without any response is the one that the journal is of: its slots hold the
 * requests that were taken, as far as no response was written there.
 */
function holdsAllTaken(shared: SharedRing, journal: RingJournal): boolean {
  const put = Atomics.load(shared.header, REQ_PROD) >>> 0;
  if (put < journal.requestConsumer >>> 0) return false;
  for (const entry of journal.unansweredAfter(0) ?? []) {
    const index = journal.requestIndex(entry);
    if (index < journal.responsesWritten) continue;
    if (!shared.holdsRequest(index, journal.words, journal.requestWord(entry))) return false;
  }
  return true;
}

function continueWithout(
  bytes: Buffer,
  abi: RingAbi,
  pages: number,
  journal: RingJournal,
): Continuation {
  const { header } = new SharedRing(bytes, abi, pages);
  const published = Atomics.load(header, RSP_PROD);
  const asked = (Atomics.load(header, REQ_PROD) - published) >>> 0;
  if (published === 0 || asked === 0) return startAfresh(bytes, abi, pages, journal);
  throw new RingStopped(
    'RING_JOURNAL_LOST',
    `the guest waits for the answers to ${asked} requests, and the journal that tells which is ` +
      'gone; the ring is stopped until the front end reconnects',
  );
}
