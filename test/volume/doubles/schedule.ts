/** Operations in flight, which happen and end in the order that chance chooses. */
import type { Random } from './random';

/** One operation below the code under test: first it happens, later its end is told. */
export interface Operation {
  /** Its effect. `fault` is a positive errno to fail with, after a part of the effect, or 0. */
  happen(fault: number): void;
  /** What may be left of it when its process dies before it has happened. */
  happenPartly(): void;
  /** Tells its end. */
  end(fault: number): void;
  /** Which kind of faults hit it. */
  readonly kind: FaultKind;
}

export type FaultKind = 'read' | 'write' | 'punch' | 'sync' | 'commit';

interface InFlight {
  readonly operation: Operation;
  hasHappened: boolean;
  fault: number;
}

export interface Faults {
  readonly kind: FaultKind;
  readonly probability: number;
  readonly errno: number;
}

export class Schedule {
  /** None where it is null. */
  faults: Faults | null = null;
  private inFlight: InFlight[] = [];

  constructor(private readonly random: Random) {}

  get isEmpty(): boolean {
    return this.inFlight.length === 0;
  }

  add(operation: Operation): void {
    this.inFlight.push({ operation, hasHappened: false, fault: 0 });
  }

  /** One of them happens, or ends, or both. */
  step(): void {
    const at = this.random.below(this.inFlight.length);
    const chosen = this.inFlight[at];
    if (!chosen.hasHappened) {
      chosen.fault = this.chooseFault(chosen.operation.kind);
      chosen.operation.happen(chosen.fault);
      chosen.hasHappened = true;
      if (this.random.chance(0.5)) return;
    }
    this.inFlight.splice(at, 1);
    chosen.operation.end(chosen.fault);
  }

  /** The process dies: nobody hears of an end any more. */
  die(): void {
    const left = this.inFlight;
    this.inFlight = [];
    for (const { operation, hasHappened } of left) if (!hasHappened) operation.happenPartly();
  }

  private chooseFault(kind: FaultKind): number {
    const { faults } = this;
    if (faults === null || faults.kind !== kind) return 0;
    return this.random.chance(faults.probability) ? faults.errno : 0;
  }
}
