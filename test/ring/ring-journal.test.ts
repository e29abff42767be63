/** A back ring whose process dies at any store: its successor does all that is owed, and once. */
import {
  ABI_NATIVE,
  ABI_X86_32,
  type BackRing,
  BLKIF_OP_READ,
  FrontRing,
  HEADER_BYTES,
  journalBytes,
  JournaledBackRing,
  type RingAbi,
  ringEntries,
  RingJournal,
  RingRequest,
  RingResponse,
} from '../../lib/ring';
import { Random } from '../../lib/trace/random';
import { RingMemory } from './ring-memory';

const RSP_PROD_OFFSET = 8;
const PAGES = 1;

/** Everything that survives a death. */
interface Image {
  readonly ring: Buffer;
  readonly journal: Buffer;
}

/** What the guest knows when the back end dies: what it asked, and has not heard of. */
interface Owed {
  readonly ids: readonly number[];
  /** Responses before this index were taken by the guest. */
  readonly heardUntil: number;
}

function copyOf(buffer: Buffer): Buffer {
  return Buffer.from(new Uint8Array(buffer).buffer);
}

function imageOf({ ring, journal }: Image): Image {
  return { ring: copyOf(ring), journal: copyOf(journal) };
}

/** Called before every store that counts, and in the midst of those that are many words. */
let beforeStore: (() => void) | null = null;
const realStore = Atomics.store;

/** Does `work` with another listener, or none. */
function listening(listener: (() => void) | null, work: () => void): void {
  const outer = beforeStore;
  beforeStore = listener;
  work();
  beforeStore?.();
  beforeStore = outer;
}

/** An ABI that tells when a request is half copied, and when a response is about to be written. */
function watched(abi: RingAbi): RingAbi {
  const watching = Object.create(abi) as RingAbi;
  watching.requestBytes = (word) => {
    beforeStore?.();
    return abi.requestBytes(word);
  };
  watching.encodeResponse = (...response) => {
    beforeStore?.();
    abi.encodeResponse(...response);
  };
  return watching;
}

beforeAll(() => {
  Atomics.store = ((view: Int32Array, index: number, value: number): number => {
    beforeStore?.();
    return realStore(view, index, value);
  }) as typeof Atomics.store;
});

afterAll(() => {
  Atomics.store = realStore;
});

function shuffle(items: unknown[], random: Random): void {
  for (let last = items.length - 1; last > 0; last--) {
    const other = random.below(last + 1);
    [items[last], items[other]] = [items[other], items[last]];
  }
}

function takeOver(image: Image, abi: RingAbi): BackRing {
  const journal = new RingJournal(image.journal, ringEntries(abi, PAGES));
  return JournaledBackRing.takenOver(image.ring, abi, PAGES, journal, true);
}

/** Ids of the responses that the guest finds on a ring, from an index on. */
function heard(ring: Buffer, abi: RingAbi, from: number): number[] {
  const until = ring.readInt32LE(RSP_PROD_OFFSET);
  const ids: number[] = [];
  const slots = new DataView(ring.buffer, ring.byteOffset + HEADER_BYTES);
  const response = new RingResponse();
  for (let index = from; index !== until; index = (index + 1) | 0) {
    const slot = index & (ringEntries(abi, PAGES) - 1);
    abi.decodeResponse(slots, slot * abi.entryBytes, response);
    ids.push(response.idLow);
  }
  return ids;
}

/** Takes all there is. */
function idsTaken(back: BackRing): { id: number; entry: number }[] {
  const taken: { id: number; entry: number }[] = [];
  const request = new RingRequest();
  while (back.next(request)) {
    if (request.sector !== request.idLow * 8) throw new Error('a request was torn');
    taken.push({ id: request.idLow, entry: request.journalEntry });
  }
  return taken;
}

/** A successor finds on `image` exactly what is owed, and settles it; `deaths` more may come. */
function checkSuccessor(image: Image, owed: Owed, abi: RingAbi, random: Random, deaths: number) {
  const already = heard(image.ring, abi, owed.heardUntil);
  for (const id of already) expect(owed.ids).toContain(id);
  const later: Image[] = [];
  const current = imageOf(image);
  const listener = deaths === 0 ? null : () => later.push(imageOf(current));
  listening(listener, () => {
    const back = takeOver(current, abi);
    const taken = idsTaken(back);
    const expected = owed.ids.filter((id) => !already.includes(id));
    expect(taken.map(({ id }) => id).sort((a, b) => a - b)).toEqual(expected);
    shuffle(taken, random);
    for (const { id, entry } of taken) {
      back.respond(id, 0, BLKIF_OP_READ, 0, entry);
      if (random.below(3) === 0) back.push();
    }
    back.push();
  });
  const all = heard(current.ring, abi, owed.heardUntil);
  expect(all.sort((a, b) => a - b)).toEqual(owed.ids);
  for (let sample = 0; sample < 4 && later.length > 0; sample++) {
    checkSuccessor(later[random.below(later.length)], owed, abi, random, deaths - 1);
  }
}

/** A guest and a back end at work, told before each store. */
class World {
  readonly image: Image;
  private readonly front: FrontRing;
  private nextId = 1;
  private readonly waiting = new Set<number>();
  private heardUntil: number;

  constructor(
    abi: RingAbi,
    start: number,
    private readonly random: Random,
  ) {
    const ring = new RingMemory(PAGES, start).ring;
    const journal = Buffer.from(new ArrayBuffer(journalBytes(ringEntries(abi, PAGES))));
    this.image = { ring: copyOf(ring), journal };
    this.front = new FrontRing(this.image.ring, abi, PAGES, { startIndex: start });
    this.heardUntil = start | 0;
  }

  get owed(): Owed {
    return {
      ids: [...this.waiting].sort((a, b) => a - b),
      heardUntil: this.heardUntil,
    };
  }

  guestAsks(most: number): void {
    const request = new RingRequest();
    request.segmentCount = request.nrSegments = 1;
    for (let count = this.random.below(most + 1); count > 0 && this.front.free > 0; count--) {
      request.idLow = this.nextId++;
      request.sector = request.idLow * 8;
      this.front.put(request);
      this.waiting.add(request.idLow);
    }
    this.front.push();
  }

  guestHears(most: number): void {
    const response = new RingResponse();
    for (let count = this.random.below(most + 1); count > 0; count--) {
      if (!this.front.next(response)) return;
      expect(this.waiting.delete(response.idLow)).toBe(true);
      this.heardUntil = (this.heardUntil + 1) | 0;
    }
  }
}

describe.each([
  [ABI_NATIVE, 0],
  [ABI_NATIVE, 0xffff_ffe0],
  [ABI_X86_32, 0],
])('a ring', (realAbi, start) => {
  const seed = Number(process.env.SEED ?? 20260301);
  test(`of ${realAbi.name} from ${start} on, is taken over at every store (SEED=${seed})`, () => {
    const abi = watched(realAbi);
    const random = new Random(seed);
    const world = new World(abi, start, random);
    const { image } = world;
    const journal = new RingJournal(image.journal, ringEntries(abi, PAGES));
    let deaths = 0;
    const died = (): void => {
      deaths++;
      // The successor dies too, and the one after it: at a few of them, or it takes minutes.
      const more = random.below(10) === 0 ? 2 : 0;
      listening(null, () => checkSuccessor(imageOf(image), world.owed, abi, random, more));
    };
    const back = JournaledBackRing.fresh(image.ring, abi, PAGES, journal);
    const taken: { id: number; entry: number }[] = [];
    const request = new RingRequest();
    for (let round = 0; round < 12; round++) {
      world.guestAsks(12);
      listening(died, () => {
        for (let left = random.below(12); left > 0 && back.next(request); left--) {
          taken.push({ id: request.idLow, entry: request.journalEntry });
        }
        shuffle(taken, random);
        for (let left = random.below(taken.length + 1); left > 0; left--) {
          const { id, entry } = taken.pop()!;
          back.respond(id, 0, BLKIF_OP_READ, 0, entry);
        }
        if (random.below(4) > 0) back.push();
      });
      world.guestHears(20);
    }
    expect(deaths).toBeGreaterThan(200);
  });
});

describe('a journal', () => {
  const entries = ringEntries(ABI_NATIVE, PAGES);

  /** A ring of which 5 requests were taken, 2 of them answered and 1 answer published. */
  function begun(): { image: Image; front: FrontRing } {
    const ring = copyOf(new RingMemory(PAGES).ring);
    const image = { ring, journal: Buffer.from(new ArrayBuffer(journalBytes(entries))) };
    const front = new FrontRing(ring, ABI_NATIVE, PAGES);
    const journal = new RingJournal(image.journal, entries);
    const back = JournaledBackRing.fresh(ring, ABI_NATIVE, PAGES, journal);
    ask(front, [1, 2, 3, 4, 5]);
    const [, second, third] = idsTaken(back);
    back.respond(second.id, 0, BLKIF_OP_READ, 0, second.entry);
    back.push();
    back.respond(third.id, 0, BLKIF_OP_READ, 0, third.entry);
    return { image, front };
  }

  function ask(front: FrontRing, ids: readonly number[]): void {
    const request = new RingRequest();
    request.segmentCount = request.nrSegments = 1;
    for (const id of ids) {
      request.idLow = id;
      request.sector = id * 8;
      front.put(request);
    }
    front.push();
  }

  function refusal(image: Image, isOfThisRing = true): unknown {
    const journal = new RingJournal(image.journal, entries);
    try {
      JournaledBackRing.takenOver(image.ring, ABI_NATIVE, PAGES, journal, isOfThisRing);
    } catch (error) {
      return error;
    }
    return null;
  }

  it('gives back what was taken in its order, and then what is new', () => {
    const { image, front } = begun();
    ask(front, [6]);
    expect(idsTaken(takeOver(image, ABI_NATIVE)).map(({ id }) => id)).toEqual([1, 3, 4, 5, 6]);
  });

  it('stops a ring whose rsp_prod its guest has written to: RING_RESPONSES_REWRITTEN', () => {
    for (const scribbled of [2, 5, 0xffff_ffff]) {
      const { image } = begun();
      image.ring.writeUInt32LE(scribbled, RSP_PROD_OFFSET);
      expect(refusal(image)).toMatchObject({ code: 'RING_RESPONSES_REWRITTEN' });
    }
  });

  it('stops a ring that says that less was put than was taken', () => {
    const { image } = begun();
    image.ring.writeUInt32LE(3, 0);
    const back = takeOver(image, ABI_NATIVE);
    expect(idsTaken(back).map(({ id }) => id)).toEqual([1, 3, 4, 5]);
    expect(back.stopped?.code).toBe('RING_PRODUCER_REWOUND');
  });

  it('that contradicts itself is not believed: RING_JOURNAL_CORRUPT', () => {
    for (let word = 0; word < 3; word++) {
      const { image } = begun();
      const journal = new RingJournal(image.journal, entries);
      const entry = journal.requestWord(journal.unansweredAfter(1)![0]) - 4;
      if (word === 0) journal.words[entry] = 0;
      if (word === 1) journal.words[entry + 1] = 3;
      if (word === 2) journal.words[0] = 40;
      expect(refusal(image)).toMatchObject({ code: 'RING_JOURNAL_CORRUPT' });
    }
  });

  it('that is gone ends a ring with requests in flight: RING_JOURNAL_LOST', () => {
    expect(refusal(begun().image, false)).toMatchObject({ code: 'RING_JOURNAL_LOST' });
  });

  it('that is gone does not matter to a ring at rest', () => {
    const { image, front } = begun();
    const back = takeOver(image, ABI_NATIVE);
    for (const { id, entry } of idsTaken(back)) back.respond(id, 0, BLKIF_OP_READ, 0, entry);
    back.push();
    expect(refusal(image, false)).toBeNull();
    const response = new RingResponse();
    while (front.next(response));
    ask(front, [7]);
    expect(idsTaken(takeOver(image, ABI_NATIVE)).map(({ id }) => id)).toEqual([7]);
  });

  it('of the ring before says nothing of one that was made afresh in its place', () => {
    const { image } = begun();
    const ring = copyOf(new RingMemory(PAGES).ring);
    ask(new FrontRing(ring, ABI_NATIVE, PAGES), [11, 12]);
    const back = takeOver({ ring, journal: image.journal }, ABI_NATIVE);
    expect(idsTaken(back).map(({ id }) => id)).toEqual([11, 12]);
  });

  it('of a ring without any answer is known by its requests', () => {
    const ring = copyOf(new RingMemory(PAGES).ring);
    const image = { ring, journal: Buffer.from(new ArrayBuffer(journalBytes(entries))) };
    const journal = new RingJournal(image.journal, entries);
    ask(new FrontRing(ring, ABI_NATIVE, PAGES), [1, 2, 3]);
    idsTaken(JournaledBackRing.fresh(ring, ABI_NATIVE, PAGES, journal));
    // The guest has begun anew, at the same place, and asks for something else.
    const again = copyOf(new RingMemory(PAGES).ring);
    ask(new FrontRing(again, ABI_NATIVE, PAGES), [1, 8, 9, 10]);
    const after = { ring: again, journal: copyOf(image.journal) };
    expect(idsTaken(takeOver(after, ABI_NATIVE)).map(({ id }) => id)).toEqual([1, 8, 9, 10]);
    expect(idsTaken(takeOver(image, ABI_NATIVE)).map(({ id }) => id)).toEqual([1, 2, 3]);
  });
});
