/** No wake-up is lost: both ends run in every order, each sleeping whenever it may. */
import { ABI_NATIVE, BackRing, FrontRing, RingRequest, RingResponse } from '../../lib/ring';
import { everyChoice, runInterleaved, type Program } from './every-schedule';
import { RingMemory } from './ring-memory';

const SCHEDULES_MAX = 200_000;

type MakeBack = (memory: RingMemory) => BackRing;
type MakeFront = (memory: RingMemory, startIndex: number) => FrontRing;

const soundBack: MakeBack = ({ ring }) => new BackRing(ring, ABI_NATIVE, 1);
const soundFront: MakeFront = ({ ring }, startIndex) =>
  new FrontRing(ring, ABI_NATIVE, 1, { startIndex });

/** A front end that sends bursts, and a back end that answers each request at once. */
class Session {
  answers = 0;
  notifications = 0;
  private frontTold = false;
  private backTold = false;
  private frontAwake = false;
  private backAwake = true;
  private readonly bursts: number[];
  private readonly front: FrontRing;
  private readonly back: BackRing;
  private readonly request = new RingRequest();
  private readonly taken = new RingRequest();
  private readonly response = new RingResponse();

  constructor(
    start: number,
    bursts: readonly number[],
    makeBack: MakeBack,
    makeFront: MakeFront,
    private readonly choose: (options: number) => number,
  ) {
    const memory = new RingMemory(1, start);
    this.bursts = [...bursts];
    this.front = makeFront(memory, start);
    this.back = makeBack(memory);
  }

  readonly frontProgram: Program = {
    runnable: () => this.bursts.length > 0 || this.frontAwake || this.frontTold,
    step: () => {
      const reaps = this.frontAwake || this.frontTold;
      if (this.bursts.length > 0 && (!reaps || this.choose(2) === 0)) this.send();
      else this.reap();
    },
  };

  readonly backProgram: Program = {
    runnable: () => this.backAwake || this.backTold,
    step: () => {
      this.backTold = false;
      while (this.back.next(this.taken)) this.back.respond(this.taken.idLow, 0, 0, 0);
      if (this.back.push()) {
        this.frontTold = true;
        this.notifications++;
      }
      this.backAwake = this.back.finalCheck();
    },
  };

  private send(): void {
    for (let left = this.bursts.shift()!; left > 0; left--) this.front.put(this.request);
    if (this.front.push()) {
      this.backTold = true;
      this.notifications++;
    }
  }

  private reap(): void {
    this.frontTold = false;
    while (this.front.next(this.response)) this.answers++;
    this.frontAwake = this.front.finalCheck();
  }
}

/** Schedules after which both ends sleep for ever with a request unanswered. */
function hangs(
  start: number,
  bursts: readonly number[],
  makeBack = soundBack,
  makeFront = soundFront,
): { lost: number; schedules: number; fewest: number; most: number } {
  const sent = bursts.reduce((sum, burst) => sum + burst, 0);
  let lost = 0;
  let fewest = Infinity;
  let most = 0;
  const schedules = everyChoice((choose) => {
    const session = new Session(start, bursts, makeBack, makeFront, choose);
    runInterleaved([session.frontProgram, session.backProgram], choose);
    if (session.answers !== sent) lost++;
    fewest = Math.min(fewest, session.notifications);
    most = Math.max(most, session.notifications);
  }, SCHEDULES_MAX);
  return { lost, schedules, fewest, most };
}

test.each([
  [0, [1]],
  [0, [1, 1]],
  [0, [2, 1]],
  [0xffffffff, [1, 1]],
  [0xfffffffe, [1, 2]],
  [0x7fffffff, [1, 1]],
])('from index %i, bursts of %j', (start, bursts) => {
  const { lost, schedules, fewest, most } = hangs(start, bursts);
  expect(lost).toBe(0);
  expect(schedules).toBeGreaterThan(10);
  // Each side tells the other, but never more than once a burst.
  expect(fewest).toBeGreaterThanOrEqual(1);
  expect(most).toBeLessThanOrEqual(2 * bursts.length + 1);
});

/** Asks for no bell while it answers, as a back end that then looks by itself for a while. */
class LookingBackRing extends BackRing {
  override push(): boolean {
    this.expectNoBell();
    return super.push();
  }
}

test.each([
  [0, [1, 1]],
  [0, [2, 1]],
  [0xffffffff, [1, 1]],
  [0x7fffffff, [1, 1]],
])(
  'of a back end that asks for no bell meanwhile, from index %i, bursts of %j',
  (start, bursts) => {
    const looking: MakeBack = ({ ring }) => new LookingBackRing(ring, ABI_NATIVE, 1);
    expect(hangs(start, bursts, looking).lost).toBe(0);
  },
);

describe('the checker finds a planted loss', () => {
  class ForgetfulBackRing extends BackRing {
    constructor(private readonly memory: RingMemory) {
      super(memory.ring, ABI_NATIVE, 1);
    }

    /** Asks to be told and sleeps, without looking again. */
    override finalCheck(): boolean {
      if (this.unconsumed() > 0) return true;
      const { buffer, byteOffset } = this.memory.ring;
      const header = new Int32Array(buffer, byteOffset, 4);
      Atomics.store(header, 1, (Atomics.load(header, 2) + 1) | 0);
      return false;
    }
  }

  class ForgetfulFrontRing extends FrontRing {
    override finalCheck(): boolean {
      return this.unconsumed() > 0;
    }
  }

  /** Looks whether it is to tell before the responses are there to see. */
  class HastyBackRing extends BackRing {
    constructor(private readonly memory: RingMemory) {
      super(memory.ring, ABI_NATIVE, 1);
    }

    override push(): boolean {
      const { buffer, byteOffset } = this.memory.ring;
      const header = new Int32Array(buffer, byteOffset, 4);
      const event = Atomics.load(header, 3);
      const before = Atomics.load(header, 2);
      super.push();
      const after = Atomics.load(header, 2);
      return (after - event) >>> 0 < (after - before) >>> 0;
    }
  }

  test('no second look before sleep', () => {
    expect(hangs(0, [1, 1], (memory) => new ForgetfulBackRing(memory)).lost).toBeGreaterThan(0);
  });

  test('no wish to be told before sleep', () => {
    const forgetful: MakeFront = ({ ring }, startIndex) =>
      new ForgetfulFrontRing(ring, ABI_NATIVE, 1, { startIndex });
    expect(hangs(0, [1, 1], soundBack, forgetful).lost).toBeGreaterThan(0);
  });

  /** Sleeps without having asked for the bell again. */
  class DeafBackRing extends BackRing {
    override finalCheck(): boolean {
      this.expectNoBell();
      return this.unconsumed() > 0;
    }
  }

  test('no bell asked for before sleep', () => {
    const deaf: MakeBack = ({ ring }) => new DeafBackRing(ring, ABI_NATIVE, 1);
    expect(hangs(0, [1, 1], deaf).lost).toBeGreaterThan(0);
  });

  test('the event read before the publication', () => {
    expect(hangs(0, [1, 1], (memory) => new HastyBackRing(memory)).lost).toBeGreaterThan(0);
  });
});
