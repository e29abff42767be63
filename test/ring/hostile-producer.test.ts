/** A guest that owns the ring's memory and means harm. */
import {
  ABI_NATIVE,
  ABI_X86_32,
  BackRing,
  BLKIF_OP_INDIRECT,
  BLKIF_RSP_EOPNOTSUPP,
  BLKIF_RSP_ERROR,
  checkRequest,
  FrontRing,
  RingRequest,
  RingResponse,
  type RequestLimits,
  type RingAbi,
} from '../../lib/ring';
import { ABIS, RING_PAGES, RingMemory } from './ring-memory';

const LIMITS: RequestLimits = {
  sectors: 1000,
  indirectSegmentsMax: 32,
  discard: true,
  flush: true,
  barrier: true,
};

const OVERFLOW = 'RING_PRODUCER_OVERFLOW';
const REWOUND = 'RING_PRODUCER_REWOUND';

/** Calls everything a back end has; nothing may throw, and nothing may come of it. */
function useStopped(back: BackRing, memory: RingMemory): void {
  const reason = back.stopped;
  const before = Buffer.from(memory.all);
  const request = new RingRequest();
  expect(back.next(request)).toBe(false);
  for (let left = back.inFlight; left > 0; left--) back.respond(1, 2, 3, 0);
  expect(back.inFlight).toBe(0);
  expect(back.push()).toBe(false);
  expect(back.finalCheck()).toBe(false);
  expect(back.unconsumed()).toBe(0);
  expect(back.stopped).toBe(reason);
  expect(memory.all.equals(before)).toBe(true);
  // Even if the front end thinks better of it.
  memory.ring.writeUInt32LE(memory.ring.readUInt32LE(8), 0);
  expect(back.finalCheck()).toBe(false);
  expect(back.stopped).toBe(reason);
}

describe.each(ABIS)('index overflow, $name', (abi) => {
  test.each(RING_PAGES)('%i pages', (pages) => {
    for (const start of [0, 5, 0xfffffff0, 0x7ffffff0]) {
      const entries = new BackRing(new RingMemory(pages).ring, abi, pages).entries;
      for (const [ahead, code] of [
        [entries, null],
        [entries + 1, OVERFLOW],
        [2 ** 31, OVERFLOW],
        [2 ** 32 - 1, OVERFLOW],
      ] as const) {
        for (const look of ['next', 'unconsumed', 'finalCheck'] as const) {
          const memory = new RingMemory(pages, start);
          const back = new BackRing(memory.ring, abi, pages);
          memory.ring.writeUInt32LE((start + ahead) >>> 0, 0);
          const found = back[look](new RingRequest());
          expect(back.stopped?.code ?? null).toBe(code);
          expect(Boolean(found)).toBe(code === null);
          if (code !== null) useStopped(back, memory);
        }
      }
    }
  });
});

test('a stop has a sentence for a person', () => {
  const memory = new RingMemory(1, 0xffffffff);
  const back = new BackRing(memory.ring, ABI_NATIVE, 1);
  memory.ring.writeUInt32LE(40, 0);
  expect(back.next(new RingRequest())).toBe(false);
  expect(back.stopped?.message).toBe(
    'producer overflow: req_prod 40 is 41 requests ahead of rsp_prod 4294967295 on a ring of 32; ' +
      'the ring is stopped until the front end reconnects',
  );
});

test('an overflow with requests in flight stops the ring, and their answers go nowhere', () => {
  const memory = new RingMemory(1);
  const back = new BackRing(memory.ring, ABI_NATIVE, 1);
  const request = new RingRequest();
  memory.ring.writeUInt32LE(3, 0);
  for (let i = 0; i < 3; i++) expect(back.next(request)).toBe(true);
  back.respond(0, 0, 0, 0);
  // An answer that is written, though not published, makes no room for a request.
  memory.ring.writeUInt32LE(32, 0);
  expect(back.unconsumed()).toBe(29);
  memory.ring.writeUInt32LE(33, 0);
  expect(back.unconsumed()).toBe(0);
  expect(back.stopped?.code).toBe(OVERFLOW);
  useStopped(back, memory);
});

test('a producer that goes back behind what was taken stops the ring', () => {
  const memory = new RingMemory(1, 0xfffffffe);
  const back = new BackRing(memory.ring, ABI_NATIVE, 1);
  memory.ring.writeUInt32LE(4, 0);
  const request = new RingRequest();
  while (back.next(request));
  expect(back.inFlight).toBe(6);
  memory.ring.writeUInt32LE(3, 0);
  expect(back.next(request)).toBe(false);
  expect(back.stopped).toMatchObject({
    code: REWOUND,
    message:
      'producer rewound: req_prod went back to 3 when 4 requests had been taken; ' +
      'the ring is stopped until the front end reconnects',
  });
  useStopped(back, memory);
});

test('what the guest does to rsp_prod moves nothing', () => {
  const memory = new RingMemory(1);
  const back = new BackRing(memory.ring, ABI_NATIVE, 1);
  const request = new RingRequest();
  memory.ring.writeUInt32LE(2, 0);
  for (const forged of [1000, 2]) {
    memory.ring.writeUInt32LE(forged, 8);
    expect(back.next(request)).toBe(true);
    back.respond(request.idLow, request.idHigh, 0, 0);
  }
  // Still 2 in the header now, as if it were published already.
  expect(back.push()).toBe(true);
  expect(memory.ring.readUInt32LE(8)).toBe(2);
  expect(back.stopped).toBeNull();
});

describe('a front end protects itself from a bad back end', () => {
  test.each([
    ['answers more than was asked', 3],
    ['goes back', 0xffffffff],
    ['is nowhere near', 2 ** 31],
  ])('that %s', (_name, forged) => {
    const memory = new RingMemory(1);
    const front = new FrontRing(memory.ring, ABI_NATIVE, 1);
    const request = new RingRequest();
    for (let i = 0; i < 3; i++) front.put(request);
    front.push();
    front.put(request);
    memory.ring.writeUInt32LE(1, 8);
    const response = new RingResponse();
    expect(front.next(response)).toBe(true);
    memory.ring.writeUInt32LE(forged === 3 ? 4 : forged, 8);
    const before = Buffer.from(memory.all);
    expect(front.next(response)).toBe(false);
    expect(front.stopped).toMatchObject({
      code: 'RING_RESPONSE_OVERFLOW',
      message:
        `response overflow: rsp_prod ${forged === 3 ? 4 : forged} answers more than the 2 requests ` +
        'asked since 1; the ring is stopped, connect it afresh',
    });
    expect(front.put(request)).toBe(false);
    expect(front.push()).toBe(false);
    expect(front.finalCheck()).toBe(false);
    expect(front.unconsumed()).toBe(0);
    expect(front.free).toBe(0);
    expect(memory.all.equals(before)).toBe(true);
  });
});

/** A guest that writes entries by hand. */
class Guest {
  readonly memory = new RingMemory(1);
  readonly back: BackRing;
  private produced = 0;
  private answersSeen = 0;

  constructor(private readonly abi: RingAbi) {
    this.back = new BackRing(this.memory.ring, abi, 1);
  }

  entry(index: number): Buffer {
    const offset = 64 + (index % 32) * this.abi.entryBytes;
    return this.memory.ring.subarray(offset, offset + this.abi.entryBytes);
  }

  produce(fill: (entry: Buffer) => void): void {
    fill(this.entry(this.produced++).fill(0));
    this.memory.ring.writeUInt32LE(this.produced, 0);
  }

  /** id (low half), operation and status of each answer that is there to see. */
  answers(): [id: number, operation: number, status: number][] {
    const answers: [number, number, number][] = [];
    for (; this.answersSeen !== this.memory.ring.readUInt32LE(8); this.answersSeen++) {
      const entry = this.entry(this.answersSeen);
      answers.push([entry.readUInt32LE(0), entry[8], entry.readInt16LE(10)]);
    }
    return answers;
  }
}

/** Serves all there is as a front end does, every request that is fine with OKAY. */
function serve(back: BackRing, limits = LIMITS): void {
  const request = new RingRequest();
  while (back.next(request)) {
    const status = checkRequest(request, limits);
    back.respond(request.idLow, request.idHigh, request.responseOperation, status);
  }
  back.push();
}

describe.each([ABI_NATIVE, ABI_X86_32])('bad requests are answered, $name', (abi) => {
  const id = abi === ABI_NATIVE ? 8 : 4;
  const sector = id + 8;
  const segments = sector + 8;
  const indirectHandle = segments;
  const all64 = (entry: Buffer, at: number): number => entry.writeBigUInt64LE(2n ** 64n - 1n, at);

  const BAD: [string, number, number, (entry: Buffer) => void][] = [
    ['read of 0 segments', 0, BLKIF_RSP_ERROR, () => undefined],
    ['write of 12 segments', 1, BLKIF_RSP_ERROR, (entry) => (entry[1] = 12)],
    ['write of 255 segments', 1, BLKIF_RSP_ERROR, (entry) => (entry[1] = 255)],
    [
      'first_sect > last_sect',
      0,
      BLKIF_RSP_ERROR,
      (entry) => {
        entry[1] = 1;
        entry[segments + 4] = 3;
        entry[segments + 5] = 2;
      },
    ],
    [
      'last_sect 8',
      0,
      BLKIF_RSP_ERROR,
      (entry) => {
        entry[1] = 1;
        entry[segments + 5] = 8;
      },
    ],
    [
      'the sector behind the last',
      1,
      BLKIF_RSP_ERROR,
      (entry) => {
        entry[1] = 1;
        entry.writeUInt32LE(1000, sector);
      },
    ],
    [
      'a sector of 2^64 - 1, whose end wraps to 0',
      1,
      BLKIF_RSP_ERROR,
      (entry) => {
        entry[1] = 1;
        all64(entry, sector);
      },
    ],
    [
      'a discard whose end wraps to inside the disk',
      5,
      BLKIF_RSP_ERROR,
      (entry) => {
        entry.writeUInt32LE(10, sector);
        all64(entry, segments);
      },
    ],
    ['RESERVED_1', 4, BLKIF_RSP_EOPNOTSUPP, () => undefined],
    ['operation 7', 7, BLKIF_RSP_EOPNOTSUPP, () => undefined],
    ['operation 255', 255, BLKIF_RSP_EOPNOTSUPP, (entry) => entry.fill(0xff, id + 8)],
  ];

  test.each(BAD)('%s', (_name, operation, status, fill) => {
    const guest = new Guest(abi);
    guest.produce((entry) => {
      entry[0] = operation;
      fill(entry);
      entry.writeUInt32LE(77, id);
    });
    serve(guest.back);
    expect(guest.answers()).toEqual([[77, operation, status]]);
    expect(guest.back.stopped).toBeNull();
  });

  test.each([
    ['0 segments', 0, 0, BLKIF_RSP_ERROR],
    ['300 segments', 1, 300, BLKIF_RSP_ERROR],
    ['65535 segments', 0, 65535, BLKIF_RSP_ERROR],
    ['INDIRECT inside', 6, 1, BLKIF_RSP_ERROR],
    ['FLUSH inside', 3, 1, BLKIF_RSP_ERROR],
    ['operation 200 inside', 200, 1, BLKIF_RSP_ERROR],
  ])('indirect: %s; the answer carries the inner operation', (_name, inner, count, status) => {
    const guest = new Guest(abi);
    guest.produce((entry) => {
      entry[0] = BLKIF_OP_INDIRECT;
      entry[1] = inner;
      entry.writeUInt16LE(count, 2);
      entry.writeUInt32LE(9, id);
      entry.fill(0xff, indirectHandle);
    });
    serve(guest.back);
    expect(guest.answers()).toEqual([[9, inner, status]]);
  });

  test('ids used again while in flight: each request gets its own answer', () => {
    const guest = new Guest(abi);
    for (let i = 0; i < 4; i++) {
      guest.produce((entry) => {
        entry[1] = i % 2;
        entry.writeUInt32LE(5, id);
      });
    }
    serve(guest.back);
    expect(guest.answers()).toEqual([
      [5, 0, -1],
      [5, 0, 0],
      [5, 0, -1],
      [5, 0, 0],
    ]);
  });

  test('an entry rewritten after it was taken changes nothing', () => {
    const guest = new Guest(abi);
    guest.produce((entry) => {
      entry[0] = 1;
      entry[1] = 11;
      entry.writeUInt32LE(5, id);
      for (let segment = 0; segment < 11; segment++) entry[segments + segment * 8 + 5] = 7;
    });
    const request = new RingRequest();
    expect(guest.back.next(request)).toBe(true);
    const before = structuredClone({ ...request });
    guest.memory.ring.fill(0xff, 64);
    expect({ ...request }).toEqual(before);
    expect(checkRequest(request, LIMITS)).toBe(0);
    expect(request.totalSectors).toBe(88);
  });
});

test('a bad request between good ones costs only itself', () => {
  const guest = new Guest(ABI_NATIVE);
  const answers: unknown[] = [];
  const expected: unknown[] = [];
  for (let i = 0; i < 100; i++) {
    const bad = i % 10 === 3;
    guest.produce((entry) => {
      entry[0] = bad ? 99 : 0;
      entry[1] = 1;
      entry.writeUInt32LE(i, 8);
    });
    expected.push(bad ? [i, 99, BLKIF_RSP_EOPNOTSUPP] : [i, 0, 0]);
    if (i % 7 === 1) {
      serve(guest.back);
      answers.push(...guest.answers());
    }
  }
  serve(guest.back);
  answers.push(...guest.answers());
  expect(answers).toEqual(expected);
});
