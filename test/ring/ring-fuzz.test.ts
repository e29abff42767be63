/** Random garbage in the whole ring, rewritten at any moment: no harm, and an answer for each. */
import {
  BackRing,
  BLKIF_RSP_EOPNOTSUPP,
  BLKIF_RSP_ERROR,
  checkHeader,
  checkRequest,
  RingRequest,
  type RequestLimits,
  type RingAbi,
} from '../../lib/ring';
import { ABIS, RING_PAGES, RingMemory } from './ring-memory';
import { runs } from './property-options';

const LIMITS: RequestLimits = {
  sectors: 2 ** 31,
  indirectSegmentsMax: 256,
  discard: true,
  flush: true,
  barrier: true,
};

/** mulberry32: the fuzz makes too many numbers for a property test's arbitraries. */
function randomFrom(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
}

interface Outcome {
  taken: number;
  fine: number;
  stopped: string | null;
  /** Everything that was decoded and answered, folded. */
  digest: number;
}

/** One guest's life: garbage everywhere, indices that are now right, now wrong. */
function fuzz(abi: RingAbi, pages: number, seed: number, guardByte: number): Outcome {
  const random = randomFrom(seed);
  const start = random();
  const memory = new RingMemory(pages, start, guardByte);
  const { ring } = memory;
  const words = new Uint32Array(ring.buffer, ring.byteOffset, ring.length / 4);
  const garbage = (at: number, end: number): void => {
    for (; at < end; at += 4) words[at / 4] = random();
  };
  const indirectPage = new Int32Array(1024);
  garbage(64, ring.length);
  const back = new BackRing(ring, abi, pages);
  const request = new RingRequest();
  const outcome: Outcome = { taken: 0, fine: 0, stopped: null, digest: 0 };
  const fold = (value: number): void => {
    outcome.digest = (Math.imul(outcome.digest, 31) + (value % 2 ** 31)) | 0;
  };
  let produced = start;
  let responded = start;

  const pending: [idLow: number, idHigh: number, operation: number, status: number][] = [];
  const respondToOne = (): void => {
    if (pending.length === 0) return;
    const [answer] = pending.splice(random() % pending.length, 1);
    back.respond(...answer);
    answer.forEach(fold);
    responded = (responded + 1) >>> 0;
  };
  const serveOne = (): void => {
    if (!back.next(request)) return;
    outcome.taken++;
    // What was taken stays as it was, whatever happens to the memory now.
    garbage(64, 64 + 128);
    let status = checkHeader(request, LIMITS);
    if (status === 0 && request.operation === 6) {
      for (let at = 0; at < 1024; at++) indirectPage[at] = random() & 0x07070707;
      request.decodeIndirectSegments(indirectPage, 0, request.nrSegments);
    }
    if (status === 0) status = checkRequest(request, LIMITS);
    if (status === 0) {
      outcome.fine++;
      if (request.operation !== 2 && request.operation !== 3) {
        if (!(request.totalSectors > 0)) throw new Error('fine, and yet nothing to do');
      }
      if (request.totalSectors > 0 && request.sector + request.totalSectors > LIMITS.sectors) {
        throw new Error('fine, and yet beyond the end');
      }
    } else if (status !== BLKIF_RSP_ERROR && status !== BLKIF_RSP_EOPNOTSUPP) {
      throw new Error('a status that blkif.h does not have');
    }
    fold(request.sector);
    pending.push([request.idLow, request.idHigh, request.responseOperation, status]);
  };

  for (let turn = 0; turn < 60 && back.stopped === null; turn++) {
    const action = random() % 100;
    if (action < 45) {
      // A believable entry or more, then a believable index.
      const room = back.entries - ((produced - responded) >>> 0);
      for (let count = random() % (room + 1); count > 0; count--) {
        const at = 64 + (produced & (back.entries - 1)) * abi.entryBytes;
        garbage(at, at + abi.entryBytes);
        ring[at] = random() % 8;
        ring[at + 1] = random() % 14;
        const [sector, segments] = abi.name === 'x86_32' ? [12, 20] : [16, 24];
        if (random() % 8 !== 0) ring.writeUInt32LE(0, at + sector + 4);
        for (let segment = 0; segment < 11; segment++) {
          if (random() % 16 === 0) continue;
          ring[at + segments + segment * 8 + 4] &= 3;
          ring[at + segments + segment * 8 + 5] = 4 | (random() & 3);
        }
        produced = (produced + 1) >>> 0;
      }
      ring.writeUInt32LE(produced, 0);
    } else if (action < 65) {
      for (let count = random() % 64; count > 0; count--) serveOne();
    } else if (action < 85) {
      for (let count = random() % 64; count > 0; count--) respondToOne();
    } else if (action < 90) {
      back.push();
    } else if (action < 95) {
      back.finalCheck();
    } else if (action < 96) {
      // Both events and the padding; a forged rsp_prod is a test of its own.
      garbage(4, 8);
      garbage(12, 64);
    } else {
      ring.writeUInt32LE(random() % 4 === 0 ? random() : (produced - (random() % 8)) >>> 0, 0);
    }
    if (back.inFlight !== pending.length) throw new Error('miscounted');
  }
  while (pending.length > 0) respondToOne();
  expect(back.inFlight).toBe(0);
  back.push();
  if (back.stopped === null) expect(ring.readUInt32LE(8)).toBe(responded);
  outcome.stopped = back.stopped?.code ?? null;
  expect(memory.guardsAreIntact(guardByte)).toBe(true);
  return outcome;
}

test('100 guests', () => {
  const { seed } = runs(0);
  const total = { taken: 0, fine: 0, overflow: 0, rewound: 0, alive: 0 };
  for (let guest = 0; guest < 100; guest++) {
    const abi = ABIS[guest % ABIS.length];
    const pages = RING_PAGES[guest % RING_PAGES.length];
    try {
      const outcome = fuzz(abi, pages, seed + guest, 0x00);
      // What lies around the ring is not read: it makes no difference.
      expect(fuzz(abi, pages, seed + guest, 0xff)).toEqual(outcome);
      total.taken += outcome.taken;
      total.fine += outcome.fine;
      if (outcome.stopped === 'RING_PRODUCER_OVERFLOW') total.overflow++;
      else if (outcome.stopped === 'RING_PRODUCER_REWOUND') total.rewound++;
      else total.alive++;
    } catch (error) {
      throw new Error(`guest ${guest} of SEED=${seed}`, { cause: error });
    }
  }
  // The fuzz itself went where it is meant to go.
  expect(total.taken).toBeGreaterThan(5_000);
  expect(total.fine).toBeGreaterThan(1_000);
  expect(total.taken - total.fine).toBeGreaterThan(1_000);
  for (const ends of [total.overflow, total.rewound, total.alive]) {
    expect(ends).toBeGreaterThan(0);
  }
});
