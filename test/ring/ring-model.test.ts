/** Both ends of one ring against a model with endless indices, across the wrap at 2^32. */
import fc from 'fast-check';
import {
  BackRing,
  FrontRing,
  RingRequest,
  RingResponse,
  ringEntries,
  type RingAbi,
} from '../../lib/ring';
import { ABIS, RING_PAGES, RingMemory } from './ring-memory';
import { runs } from './property-options';

type Step =
  | { do: 'put' | 'take' | 'respond' | 'reap'; count: number }
  | { do: 'pushRequests' | 'pushResponses' | 'checkRequests' | 'checkResponses' };

const steps = fc.array(
  fc.oneof(
    fc.record({
      do: fc.constantFrom('put' as const, 'take' as const, 'respond' as const, 'reap' as const),
      count: fc.oneof(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 600 })),
    }),
    fc.record({
      do: fc.constantFrom(
        'pushRequests' as const,
        'pushResponses' as const,
        'checkRequests' as const,
        'checkResponses' as const,
      ),
    }),
  ),
  { maxLength: 60 },
) as fc.Arbitrary<Step[]>;

/** Indices here never wrap: what the ring's u32 arithmetic must agree with. */
class Model {
  reqProd: number;
  reqPublished: number;
  reqCons: number;
  reqEvent: number;
  rspProd: number;
  rspPublished: number;
  rspCons: number;
  rspEvent: number;
  /** Ids taken by the back end and unanswered, and those answered, in the order of answers. */
  readonly taken: number[] = [];
  readonly answered: number[] = [];

  constructor(start: number) {
    this.reqProd = this.reqPublished = this.reqCons = start;
    this.rspProd = this.rspPublished = this.rspCons = start;
    this.reqEvent = this.rspEvent = start + 1;
  }
}

/** `expect` is too slow for every field of every request. */
function same(actual: unknown, expected: unknown): void {
  if (!Object.is(actual, expected)) expect(actual).toBe(expected);
}

function sectorOf(id: number): number {
  return (id * 2 ** 21 + id) % Number.MAX_SAFE_INTEGER;
}

class World {
  readonly memory: RingMemory;
  readonly front: FrontRing;
  readonly back: BackRing;
  readonly model: Model;
  readonly request = new RingRequest();
  readonly response = new RingResponse();

  constructor(abi: RingAbi, pages: number, start: number) {
    this.memory = new RingMemory(pages, start);
    this.front = new FrontRing(this.memory.ring, abi, pages, { startIndex: start });
    this.back = new BackRing(this.memory.ring, abi, pages);
    this.model = new Model(start);
  }

  run(step: Step): void {
    if ('count' in step) for (let i = 0; i < step.count && this[step.do](); i++);
    else this[step.do]();
    const { model } = this;
    same(this.front.inFlight, model.reqProd - model.rspCons);
    same(this.front.free, this.front.entries - (model.reqProd - model.rspCons));
    same(this.back.inFlight, model.taken.length);
    same(this.back.stopped, null);
    same(this.front.stopped, null);
  }

  put(): boolean {
    const { model, request } = this;
    const room = model.reqProd - model.rspCons < this.front.entries;
    request.operation = model.reqProd % 2;
    request.idLow = model.reqProd >>> 0;
    request.idHigh = 0xfffffffe;
    request.sector = sectorOf(model.reqProd);
    request.nrSegments = request.segmentCount = model.reqProd % 12;
    request.gref.fill(model.reqProd, 0, 11);
    same(this.front.put(request), room);
    if (room) model.reqProd++;
    return room;
  }

  pushRequests(): void {
    const { model } = this;
    // ring.h in words: somebody waits for one of the requests published just now.
    const wanted = model.reqPublished < model.reqEvent && model.reqEvent <= model.reqProd;
    model.reqPublished = model.reqProd;
    same(this.front.push(), wanted);
  }

  take(): boolean {
    const { model, request } = this;
    const there = model.reqCons < model.reqPublished;
    same(this.back.next(request), there);
    if (!there) return false;
    const id = model.reqCons++;
    model.taken.push(id);
    same(request.operation, id % 2);
    same(request.idLow, id >>> 0);
    same(request.idHigh, 0xfffffffe);
    same(request.sector, sectorOf(id));
    same(request.segmentCount, id % 12);
    for (let i = 0; i < request.segmentCount; i++) same(request.gref[i], id >>> 0);
    return true;
  }

  /** Answers a request, not the oldest as a rule. */
  respond(): boolean {
    const { model } = this;
    if (model.taken.length === 0) return false;
    const [id] = model.taken.splice((model.taken.length * 7) >> 3, 1);
    this.back.respond(id >>> 0, 0xfffffffe, id % 2, -(id % 3));
    model.answered.push(id);
    model.rspProd++;
    return true;
  }

  pushResponses(): void {
    const { model } = this;
    const wanted = model.rspPublished < model.rspEvent && model.rspEvent <= model.rspProd;
    model.rspPublished = model.rspProd;
    same(this.back.push(), wanted);
  }

  reap(): boolean {
    const { model, response } = this;
    const there = model.rspCons < model.rspPublished;
    same(this.front.next(response), there);
    if (!there) return false;
    const id = model.answered.shift()!;
    model.rspCons++;
    same(response.idLow, id >>> 0);
    same(response.idHigh, 0xfffffffe);
    same(response.wireOperation, id % 2);
    same(response.status, -(id % 3) | 0);
    return true;
  }

  checkRequests(): void {
    const { model } = this;
    const work = model.reqCons < model.reqPublished;
    if (!work) model.reqEvent = model.reqCons + 1;
    same(this.back.unconsumed(), model.reqPublished - model.reqCons);
    same(this.back.finalCheck(), work);
  }

  checkResponses(): void {
    const { model } = this;
    const work = model.rspCons < model.rspPublished;
    if (!work) model.rspEvent = model.rspCons + 1;
    same(this.front.unconsumed(), model.rspPublished - model.rspCons);
    same(this.front.finalCheck(), work);
  }
}

const START = fc.oneof(
  fc.constant(0),
  fc.integer({ min: 2 ** 32 - 700, max: 2 ** 32 + 5 }),
  fc.integer({ min: 2 ** 31 - 700, max: 2 ** 31 + 5 }),
);

test('every step does what the model does, and at the end nothing was lost', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...ABIS),
      fc.constantFrom(...RING_PAGES),
      START,
      steps,
      (abi, pages, start, script) => {
        const world = new World(abi, pages, start);
        for (const step of script) world.run(step);
        world.pushRequests();
        while (world.take());
        while (world.respond());
        world.pushResponses();
        while (world.reap());
        expect(world.model.rspCons).toBe(world.model.reqProd);
        expect(world.memory.guardsAreIntact()).toBe(true);
      },
    ),
    runs(300),
  );
});

describe.each(ABIS)('$name', (abi) => {
  test.each(RING_PAGES)('%i pages, filled and emptied over the wrap', (pages) => {
    const entries = ringEntries(abi, pages);
    const world = new World(abi, pages, 2 ** 32 - 2.5 * entries);
    for (let round = 0; round < 5; round++) {
      world.run({ do: 'put', count: Infinity });
      expect(world.front.free).toBe(0);
      world.run({ do: 'pushRequests' });
      world.run({ do: 'take', count: Infinity });
      expect(world.back.inFlight).toBe(world.back.entries);
      world.run({ do: 'checkRequests' });
      world.run({ do: 'respond', count: Infinity });
      world.run({ do: 'pushResponses' });
      world.run({ do: 'reap', count: Infinity });
      world.run({ do: 'checkResponses' });
    }
    expect(world.model.reqProd).toBeGreaterThan(2 ** 32);
  });
});

test('a back end that ignores the events tells of every push, and writes no event', () => {
  const memory = new RingMemory(1);
  memory.ring.writeUInt32LE(0x7fffffff, 12);
  const front = new FrontRing(memory.ring, ABIS[2], 1, { notifyAlways: true });
  const back = new BackRing(memory.ring, ABIS[2], 1, { notifyAlways: true });
  const request = new RingRequest();
  for (let round = 0; round < 3; round++) {
    expect(front.push()).toBe(false);
    expect(front.put(request)).toBe(true);
    expect(front.push()).toBe(true);
    expect(back.finalCheck()).toBe(true);
    expect(back.next(request)).toBe(true);
    expect(back.push()).toBe(false);
    back.respond(0, 0, 0, 0);
    expect(back.push()).toBe(true);
    expect(back.finalCheck()).toBe(false);
    expect(front.next(new RingResponse())).toBe(true);
    expect(front.finalCheck()).toBe(false);
  }
  expect(memory.ring.readUInt32LE(4)).toBe(1);
  expect(memory.ring.readUInt32LE(12)).toBe(0x7fffffff);
});

test('a restarted back end goes on at rsp_prod, or where it is told', () => {
  const memory = new RingMemory(1, 0xfffffffe);
  const front = new FrontRing(memory.ring, ABIS[0], 1, { startIndex: 0xfffffffe });
  const request = new RingRequest();
  for (let id = 0; id < 6; id++) {
    request.idLow = id;
    front.put(request);
  }
  front.push();
  const first = new BackRing(memory.ring, ABIS[0], 1);
  for (let id = 0; id < 4; id++) first.next(request);
  first.respond(0, 0, 0, 0);
  first.respond(1, 0, 0, 0);
  first.push();

  const second = new BackRing(memory.ring, ABIS[0], 1);
  expect(second.unconsumed()).toBe(4);
  expect(second.next(request)).toBe(true);
  expect(request.idLow).toBe(2);
  const third = new BackRing(memory.ring, ABIS[0], 1, { startIndex: 2 });
  expect(third.next(request)).toBe(true);
  expect(request.idLow).toBe(4);
});

test('memory that is not exactly an aligned ring is this program’s own mistake', () => {
  const page = Buffer.from(new ArrayBuffer(3 * 4096));
  const make = (bytes: Buffer, pages: number) => (): BackRing =>
    new BackRing(bytes, ABIS[0], pages);
  expect(make(page.subarray(0, 4095), 1)).toThrow('whole ring');
  expect(make(page.subarray(0, 8192), 1)).toThrow('whole ring');
  expect(make(page.subarray(2, 4098), 1)).toThrow('aligned');
  expect(make(page, 3)).toThrow('3 pages is not possible');
});

test('answering more than was asked is this program’s own mistake', () => {
  const memory = new RingMemory(1);
  const back = new BackRing(memory.ring, ABIS[0], 1);
  expect(() => back.respond(0, 0, 0, 0)).toThrow('in flight');
});
