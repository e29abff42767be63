/** A row of the bench: contestants under one load, in alternation, and the goals it has to reach. */
import { ROUNDS } from './settings';
import { summarise, type Sample, type Summary } from './sample';

export interface Contestant {
  readonly who: string;
  run(): Promise<Sample>;
}

/** Our figure divided by a peer's, and what we want of it. */
export interface Ratio {
  readonly of: string;
  readonly value: number;
  readonly goal: Goal | null;
}

export interface Goal {
  readonly value: number;
  readonly sense: 'at least' | 'at most';
}

/** A figure of ours alone that has a goal. */
export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly goal: Goal;
}

export interface Line {
  readonly who: string;
  /** Null where the row measures something else, which `figures` has. */
  readonly summary: Summary | null;
  readonly samples: readonly Sample[];
  /** Further columns, by their heads. */
  readonly extra: Readonly<Record<string, number>>;
  /** Ours to this one's; none on our own line. */
  readonly ratios: readonly Ratio[];
  readonly figures: readonly Figure[];
}

export interface Row {
  readonly load: string;
  readonly lines: readonly Line[];
}

export function atLeast(value: number): Goal {
  return { value, sense: 'at least' };
}

export function atMost(value: number): Goal {
  return { value, sense: 'at most' };
}

export function isMet(value: number, goal: Goal): boolean {
  return goal.sense === 'at least' ? value >= goal.value : value <= goal.value;
}

/** A B C A B C …: what disturbs the machine for a while disturbs all alike. */
export async function alternate(
  contestants: readonly Contestant[],
  rounds = ROUNDS,
): Promise<Sample[][]> {
  const samples: Sample[][] = contestants.map(() => []);
  for (let round = 0; round < rounds; round++) {
    for (const [index, contestant] of contestants.entries()) {
      samples[index].push(await contestant.run());
    }
  }
  return samples;
}

export interface Compared {
  readonly load: string;
  readonly ours: Contestant;
  readonly peers: readonly Contestant[];
  /** Of the IOPS: against one peer by its name, or against the best of those that it names. */
  readonly goals?: readonly { readonly peers: readonly string[]; readonly goal: Goal }[];
  /** Where it is a few hundredths that are looked for: more than the other rows have. */
  readonly rounds?: number;
  /** Of our user CPU a request, in µs. */
  readonly userUsGoal?: Goal;
}

export async function compare(compared: Compared): Promise<Row> {
  const { load, ours, peers, goals = [], rounds, userUsGoal } = compared;
  const [ownSamples, ...peerSamples] = await alternate([ours, ...peers], rounds);
  const own = summarise(ownSamples);
  const summaries = peerSamples.map(summarise);
  const best = goals.map(({ peers: names, goal }) => ({ index: bestOf(names), goal }));
  const user = own.userUsPerRequest;
  const figures =
    userUsGoal === undefined || user === null
      ? []
      : [{ name: 'user µs', value: user, goal: userUsGoal }];
  return {
    load,
    lines: [
      { who: ours.who, summary: own, samples: ownSamples, extra: {}, ratios: [], figures },
      ...peers.map(({ who }, index) => ({
        who,
        summary: summaries[index],
        samples: peerSamples[index],
        extra: {},
        ratios: [
          {
            of: 'IOPS',
            value: own.iops / summaries[index].iops,
            goal: best.find((entry) => entry.index === index)?.goal ?? null,
          },
        ],
        figures: [],
      })),
    ],
  };

  function bestOf(names: readonly string[]): number {
    let found = -1;
    for (const [index, { who }] of peers.entries()) {
      if (!names.includes(who)) continue;
      if (found === -1 || summaries[index].iops > summaries[found].iops) found = index;
    }
    return found;
  }
}
