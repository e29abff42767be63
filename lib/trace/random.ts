/** Repeatable chance: the same seed gives the same numbers on every machine. */

/** A 32-bit generator (a Weyl sequence, mixed): good enough to spread requests. */
export class Random {
  private state: number;

  constructor(seed: number) {
    this.state = seed >>> 0;
  }

  /** A whole number from 0 to below `below`, which is at most 2^53. */
  below(below: number): number {
    const high = this.next() >>> 5;
    const low = this.next() >>> 6;
    return Math.floor(((high * 67108864 + low) / 9007199254740992) * below);
  }

  /** True in `percent` of 100 cases. */
  percent(percent: number): boolean {
    return this.below(10_000) < percent * 100;
  }

  /** One of a few. */
  pick<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)];
  }

  private next(): number {
    this.state = (this.state + 0x9e3779b9) | 0;
    let mixed = this.state;
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return (mixed ^ (mixed >>> 15)) >>> 0;
  }
}
