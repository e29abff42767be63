/** Runs two programs in every order of their accesses to shared memory that can matter. */

/** One side of a ring. An operation is what it does between two looks at its event channel. */
export interface Program {
  /** True while the side is awake, or was told something, and has something to do. */
  runnable(): boolean;
  /** Does one operation. */
  step(): void;
}

/**
 * Calls `run` once for each sequence of choices. `run` asks `choose(n)` for a number below n
 * whenever something could go either way. Returns how many sequences there were.
 */
export function everyChoice(
  run: (choose: (options: number) => number) => void,
  runsMax: number,
): number {
  const trail: { taken: number; options: number }[] = [];
  for (let count = 1; ; count++) {
    if (count > runsMax) throw new Error(`more than ${runsMax} schedules`);
    let depth = 0;
    run((options) => {
      if (depth === trail.length) trail.push({ taken: 0, options });
      return trail[depth++].taken;
    });
    while (
      trail.length > 0 &&
      trail[trail.length - 1].taken + 1 === trail[trail.length - 1].options
    ) {
      trail.pop();
    }
    if (trail.length === 0) return count;
    trail[trail.length - 1].taken++;
  }
}

/**
 * Runs both programs until neither is runnable. Before each Atomics access of one, the other may
 * do whole operations. That is every order that can matter: an operation of a ring is a store and
 * a load, or a load, a store and a load, of which two loads may change places without effect.
 */
export function runInterleaved(
  programs: readonly [Program, Program],
  choose: (options: number) => number,
): void {
  const real = { load: Atomics.load, store: Atomics.store };
  let running: Program | null = null;
  let nested = false;
  const beforeAccess = (): void => {
    if (running === null || nested) return;
    const other = programs[running === programs[0] ? 1 : 0];
    nested = true;
    while (other.runnable() && choose(2) === 1) other.step();
    nested = false;
  };
  Atomics.load = ((view: Int32Array, index: number): number => {
    beforeAccess();
    return real.load(view, index);
  }) as typeof Atomics.load;
  Atomics.store = ((view: Int32Array, index: number, value: number): number => {
    beforeAccess();
    return real.store(view, index, value);
  }) as typeof Atomics.store;
  try {
    for (;;) {
      const ready = programs.filter((program) => program.runnable());
      if (ready.length === 0) return;
      running = ready[ready.length === 1 ? 0 : choose(2)];
      running.step();
      running = null;
    }
  } finally {
    Object.assign(Atomics, real);
  }
}
