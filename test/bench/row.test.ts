import { countGoals, tableOf } from './report';
import { atLeast, atMost, compare, type Contestant } from './row';
import type { Sample } from './sample';

function sample(iops: number, userUs = 0): Sample {
  return {
    requests: iops,
    iops,
    mbPerSecond: 0,
    latencyUsP50: 0,
    latencyUsP99: 0,
    userUs,
    systemUs: 0,
    residentBytes: 0,
  };
}

/** Runs that yield these IOPS, one after the other. */
function contestant(who: string, iops: number[], order: string[] = [], userUs = 0): Contestant {
  let run = 0;
  return {
    who,
    run: async () => {
      order.push(who);
      return sample(iops[run++ % iops.length], userUs);
    },
  };
}

describe('a row of the bench', () => {
  it('runs its contestants in alternation', async () => {
    const order: string[] = [];
    const [ours, peer] = ['ours', 'peer'].map((who) => contestant(who, [1], order));
    await compare({ load: 'load', ours, peers: [peer] });
    expect(order).toEqual(['ours', 'peer', 'ours', 'peer', 'ours', 'peer']);
  });

  it('compares medians, and shows how far apart the runs were', async () => {
    const { lines } = await compare({
      load: 'load',
      ours: contestant('ours', [90, 30, 120]),
      peers: [contestant('peer', [100, 50, 200])],
    });
    expect(lines[1].ratios[0].value).toBeCloseTo(0.9);
    expect(lines[0].summary?.spread).toBeCloseTo(1);
  });

  it('takes CPU time over all requests of all runs', async () => {
    const ours = contestant('ours', [10, 30, 60], [], 50);
    const { lines } = await compare({ load: 'load', ours, peers: [] });
    expect(lines[0].summary?.userUsPerRequest).toBeCloseTo(1.5);
  });

  it('holds ours against the best of the peers that a goal names, and marks what falls short', async () => {
    const row = await compare({
      load: 'load',
      ours: contestant('ours', [100]),
      peers: [
        contestant('slow', [50]),
        contestant('fast', [125]),
        contestant('another kind', [999]),
      ],
      goals: [{ peers: ['slow', 'fast'], goal: atLeast(0.9) }],
    });
    expect(row.lines.map(({ ratios }) => ratios[0]?.goal ?? null)).toEqual([
      null,
      null,
      atLeast(0.9),
      null,
    ]);
    expect(countGoals([row])).toEqual({ goals: 1, met: 0 });
    const marked = tableOf([row])
      .split('\n')
      .filter((line) => line.includes('below goal'));
    expect(marked).toHaveLength(1);
    expect(marked[0]).toMatch(/fast.*0\.80.*≥ 0\.9/);
  });

  it('marks a figure above its limit', async () => {
    const ours = contestant('ours', [100], [], 200);
    const row = await compare({ load: 'load', ours, peers: [], userUsGoal: atMost(1.5) });
    expect(countGoals([row])).toEqual({ goals: 1, met: 0 });
    expect(tableOf([row])).toMatch(/user µs ≤ 1\.5.*below goal/);
  });
});
