/** Random requests, ends, stalls and losses: nothing happens or is answered without the right. */
import * as fc from 'fast-check';
import {
  REQUEST_BARRIER,
  REQUEST_FLUSH,
  REQUEST_READ,
  REQUEST_WRITE,
  type RequestOperation,
  STATUS_OKAY,
} from '../../lib/vbd/request';
import { Vbd } from '../../lib/vbd/vbd';
import { FakeFence } from '../fake-fence';
import { CHUNK_BYTES, CHUNKS, VolumeOnDoubles } from '../volume/volume-on-doubles';
import { type Answer, Guest, turns, type Wanted } from './guest';

const CHUNK_SECTORS = CHUNK_BYTES / 512;
const EIO = 5;
const RUNS = 150;

type Step =
  | { readonly kind: 'request'; readonly wanted: Wanted; readonly kick: boolean }
  | { readonly kind: 'let'; readonly which: number }
  | { readonly kind: 'turn' | 'close' | 'open' | 'openSilently' };

const sector = fc.integer({ min: 0, max: CHUNKS * CHUNK_SECTORS - 1 });
const operation = fc.constantFrom<RequestOperation>(
  REQUEST_READ,
  REQUEST_WRITE,
  REQUEST_WRITE,
  REQUEST_WRITE,
  REQUEST_FLUSH,
  REQUEST_BARRIER,
);
const wanted: fc.Arbitrary<Wanted> = fc.tuple(operation, sector).map(([asked, at]) => {
  const movesData = asked === REQUEST_READ || asked === REQUEST_WRITE;
  return movesData ? { operation: asked, sector: at, sectorCount: 1 } : { operation: asked };
});
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    arbitrary: fc.record({ kind: fc.constant('request' as const), wanted, kick: fc.boolean() }),
    weight: 4,
  },
  { arbitrary: fc.record({ kind: fc.constant('let' as const), which: fc.nat(50) }), weight: 6 },
  fc.record({ kind: fc.constantFrom('turn', 'close', 'open', 'openSilently') }),
);

/** One life of a disk. */
class Life {
  readonly fence = new FakeFence();
  disk!: VolumeOnDoubles;
  guest!: Guest;
  private vbd!: Vbd;
  private readonly answers: Answer[] = [];
  /** Sectors are written once, so that an acknowledged value can only be the one that is there. */
  private readonly written = new Map<number, Answer>();

  async begin(): Promise<void> {
    this.disk = await VolumeOnDoubles.open({ fence: this.fence });
    this.vbd = new Vbd(this.disk.volume);
    this.guest = new Guest(this.vbd);
  }

  async take(one: Step): Promise<void> {
    if (one.kind === 'request') this.request(one.wanted);
    if (one.kind === 'request' && one.kick) this.vbd.kick();
    if (one.kind === 'let') this.let(one.which);
    if (one.kind === 'turn') await turns(1);
    if (one.kind === 'close') this.fence.close();
    if (one.kind === 'open') this.fence.open();
    if (one.kind === 'openSilently') this.fence.open(true);
  }

  let(which: number): void {
    const { waiting } = this.disk;
    if (waiting.length > 0) this.disk.let(waiting[which % waiting.length]);
  }

  async settle(errno = 0): Promise<void> {
    this.vbd.kick();
    for (let quiet = 0; quiet < 4; quiet++) {
      while (this.disk.waiting.length > 0) {
        this.disk.let(this.disk.waiting[0], this.disk.waiting[0] === 'commit' ? errno : 0);
        quiet = 0;
      }
      await turns(1);
    }
  }

  get allAnswered(): boolean {
    return this.answers.every(({ status }) => status !== null);
  }

  get failed(): Answer[] {
    return this.answers.filter(({ status }) => status !== STATUS_OKAY);
  }

  checkWritten(): void {
    for (const [at, answer] of this.written) {
      if (answer.status !== STATUS_OKAY) continue;
      const chunk = Math.floor(at / CHUNK_SECTORS);
      expect(this.disk.valueAt(chunk, at % CHUNK_SECTORS)).toBe(valueOf(at) * 0x01010101);
    }
  }

  end(): void {
    this.vbd.fence?.close();
  }

  private request(asked: Wanted): void {
    const at = asked.sector ?? 0;
    const isWrite = asked.operation === REQUEST_WRITE;
    if (isWrite && this.written.has(at)) return;
    const filled = isWrite ? { ...asked, value: valueOf(at) } : asked;
    const answer = this.guest.submit(`${this.answers.length}`, filled);
    this.answers.push(answer);
    if (isWrite) this.written.set(at, answer);
  }
}

/** Not 0, and below 128 so that it is the same number signed. */
const valueOf = (at: number): number => 1 + (at % 126);

async function play(steps: readonly Step[], end: 'open' | 'lose'): Promise<void> {
  const life = new Life();
  await life.begin();
  let isClosed = false;
  for (const one of steps) {
    const before = [life.disk.store.handedOver, life.guest.answered.length];
    if (one.kind === 'open' || one.kind === 'openSilently') isClosed = false;
    await life.take(one);
    if (one.kind === 'close') isClosed = true;
    const after = [life.disk.store.handedOver, life.guest.answered.length];
    if (isClosed) expect(after).toEqual(before);
  }
  if (end === 'open') {
    life.fence.open();
    await life.settle();
    expect(life.failed).toEqual([]);
  } else {
    const before = life.guest.answered.length;
    const handedOver = life.disk.store.handedOver;
    life.fence.lose();
    await life.settle(EIO);
    expect(life.disk.store.handedOver).toBe(handedOver);
    expect(life.failed.every(({ errno }) => errno === EIO)).toBe(true);
    expect(life.guest.answered.length - before).toBe(life.failed.length);
  }
  expect(life.allAnswered).toBe(true);
  expect(new Set(life.guest.answered).size).toBe(life.guest.answered.length);
  if (end === 'open') life.checkWritten();
  life.end();
}

test.each(['open', 'lose'] as const)('whatever happens, and then: %s', async (end) => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 120 }), (steps) => play(steps, end)),
    { numRuns: RUNS },
  );
});
