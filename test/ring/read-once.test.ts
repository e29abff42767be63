/** No word of an entry is read twice, however the guest rewrites it between two reads. */
import { BackRing, RingRequest } from '../../lib/ring';
import { SharedRing } from '../../lib/ring/shared-ring';
import { ABIS, RingMemory } from './ring-memory';

/** Watches each access to the shared entries, and rewrites the first one after each. */
class RestlessRing extends SharedRing {
  readonly reads = new Map<number, number>();
  /** What was there when it was read; all else is 0. */
  readonly seen: Buffer;

  constructor(
    readonly memory: RingMemory,
    abi: (typeof ABIS)[number],
    nextByte: () => number,
  ) {
    super(memory.ring, abi, 1);
    this.seen = Buffer.from(new ArrayBuffer(this.entries * abi.entryBytes));
    const watched = Reflect.get(this, 'slotWords') as Int32Array;
    const proxy = new Proxy(watched, {
      get: (target, key) => {
        const word = Number(key);
        const value: unknown = Reflect.get(target, key);
        if (typeof value !== 'number' || !Number.isInteger(word)) return value;
        this.reads.set(word, (this.reads.get(word) ?? 0) + 1);
        this.seen.writeInt32LE(value, word * 4);
        for (let at = 64; at < 64 + abi.entryBytes; at++) memory.ring[at] = nextByte();
        return value;
      },
    });
    Reflect.set(this, 'slotWords', proxy);
    // Decoding from shared memory itself would go through here.
    Reflect.set(this, 'slots', null);
  }
}

test.each(ABIS)('$name', (abi) => {
  let state = 1;
  const nextByte = (): number => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return (state >>> 16) & (state & 0x4000000 ? 7 : 255);
  };
  const operations = new Set<number>();
  for (let round = 0; round < 40; round++) {
    const memory = new RingMemory(1);
    for (let at = 64; at < memory.ring.length; at++) memory.ring[at] = nextByte();
    const back = new BackRing(memory.ring, abi, 1);
    const restless = new RestlessRing(memory, abi, nextByte);
    Reflect.set(back, 'shared', restless);
    memory.ring.writeUInt32LE(1, 0);
    memory.ring[64] = round % 8;
    memory.ring[65] = round % 13;

    const request = new RingRequest();
    expect(back.next(request)).toBe(true);
    operations.add(request.operation);
    expect(restless.reads.size).toBeGreaterThanOrEqual(4);
    for (const times of restless.reads.values()) expect(times).toBe(1);
    const expected = new RingRequest();
    abi.decodeRequest(new DataView(restless.seen.buffer), 0, expected);
    expect(request).toEqual(expected);
  }
  expect(operations.size).toBe(abi.name === 'blktap2' ? 5 : 7);
});
