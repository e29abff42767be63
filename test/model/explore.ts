/** Explores every state that a state machine can come to, the nearest first. */

export interface Machine<State> {
  readonly initial: State;
  /** Tells of each step that the state allows. */
  next(state: State, step: (label: string, state: State) => void): void;
  /** What must never be is wrong with this state, or null. */
  violation(state: State): string | null;
  /** The same for states that behave alike. */
  encode(state: State): string;
}

export interface Exploration {
  readonly states: number;
  readonly steps: number;
  /** How far the furthest state is from the first. */
  readonly depth: number;
  /** A shortest way to a state that must not be. */
  readonly counterExample: {
    readonly violation: string;
    readonly labels: readonly string[];
  } | null;
}

/** How a state was come by. */
interface Origin {
  readonly before: number;
  readonly label: string;
}

export interface Bounds {
  /** Beyond so many it throws: the model has become too large for its test. */
  readonly statesMax: number;
  /** Steps from the first state that are looked at; all without it. */
  readonly depthMax?: number;
}

export function explore<State>(
  machine: Machine<State>,
  { statesMax, depthMax = Infinity }: Bounds,
): Exploration {
  const origins: Origin[] = [{ before: -1, label: '' }];
  const seen = new Set([machine.encode(machine.initial)]);
  let level = [{ state: machine.initial, index: 0 }];
  let steps = 0;
  let depth = 0;
  for (; level.length > 0; depth++) {
    const nextLevel: typeof level = [];
    for (const { state, index } of level) {
      const violation = machine.violation(state);
      if (violation !== null) {
        const labels = wayTo(index, origins);
        return { states: seen.size, steps, depth, counterExample: { violation, labels } };
      }
      if (depth === depthMax) continue;
      machine.next(state, (label, after) => {
        steps++;
        const code = machine.encode(after);
        if (seen.has(code)) return;
        seen.add(code);
        if (seen.size > statesMax) throw new Error(`more than ${statesMax} states`);
        nextLevel.push({ state: after, index: origins.length });
        origins.push({ before: index, label });
      });
    }
    level = nextLevel;
  }
  return { states: seen.size, steps, depth, counterExample: null };
}

function wayTo(index: number, origins: readonly Origin[]): string[] {
  const labels: string[] = [];
  for (let at = index; at > 0; at = origins[at].before) labels.unshift(origins[at].label);
  return labels;
}
