/** What one measured run yields, whoever did the work, and what several yield together. */

export interface Sample {
  /** Requests answered within the run. */
  readonly requests: number;
  readonly iops: number;
  readonly mbPerSecond: number;
  /** From a request's submission to its answer; null where the client does not tell. */
  readonly latencyUsP50: number | null;
  readonly latencyUsP99: number | null;
  /** CPU time of the serving process in all, user and system, in µs; null where it cannot be told. */
  readonly userUs: number | null;
  readonly systemUs: number | null;
  /** Resident memory of the serving process at the end, in bytes. */
  readonly residentBytes: number | null;
}

/** What several clients of one process saw at the same time, as one sample. */
export function together(samples: readonly Sample[]): Sample {
  const sum = (of: (sample: Sample) => number): number =>
    samples.reduce((total, sample) => total + of(sample), 0);
  return {
    // Of the process: each of them measured the same.
    ...samples[0],
    requests: sum(({ requests }) => requests),
    iops: sum(({ iops }) => iops),
    mbPerSecond: sum(({ mbPerSecond }) => mbPerSecond),
    latencyUsP50: medianOf(samples, ({ latencyUsP50 }) => latencyUsP50),
    latencyUsP99: medianOf(samples, ({ latencyUsP99 }) => latencyUsP99),
  };
}

/** Several samples as one: medians, but CPU a request over all of them, being counted in ticks. */
export interface Summary {
  readonly iops: number;
  /** (highest − lowest) / median of the IOPS, as a fraction. */
  readonly spread: number;
  readonly mbPerSecond: number;
  readonly latencyUsP50: number | null;
  readonly latencyUsP99: number | null;
  readonly userUsPerRequest: number | null;
  readonly systemUsPerRequest: number | null;
  readonly residentBytes: number | null;
}

export function summarise(samples: readonly Sample[]): Summary {
  const iops = samples.map((sample) => sample.iops);
  return {
    iops: median(iops),
    spread: (Math.max(...iops) - Math.min(...iops)) / median(iops),
    mbPerSecond: median(samples.map((sample) => sample.mbPerSecond)),
    latencyUsP50: medianOf(samples, (sample) => sample.latencyUsP50),
    latencyUsP99: medianOf(samples, (sample) => sample.latencyUsP99),
    userUsPerRequest: perRequest(samples, (sample) => sample.userUs),
    systemUsPerRequest: perRequest(samples, (sample) => sample.systemUs),
    residentBytes: medianOf(samples, (sample) => sample.residentBytes),
  };
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function medianOf(
  samples: readonly Sample[],
  of: (sample: Sample) => number | null,
): number | null {
  const told = samples.flatMap((sample) => of(sample) ?? []);
  return told.length === 0 ? null : median(told);
}

function perRequest(
  samples: readonly Sample[],
  timeUs: (sample: Sample) => number | null,
): number | null {
  let total = 0;
  let requests = 0;
  for (const sample of samples) {
    const time = timeUs(sample);
    if (time === null) return null;
    total += time;
    requests += sample.requests;
  }
  return total / requests;
}
