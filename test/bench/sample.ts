/** What one measured run yields, whoever did the work. */
export interface Sample {
  readonly iops: number;
  readonly mbPerSecond: number;
  readonly latencyUsP50: number;
  readonly latencyUsP99: number;
  /** CPU of the serving process a request, user and system, in µs; null where it cannot be told. */
  readonly userUs: number | null;
  readonly systemUs: number | null;
  /** Resident memory of the serving process, in bytes. */
  readonly residentBytes: number | null;
}

/** One load: what is asked, of whom is another matter. */
export interface Load {
  readonly operation: 'read' | 'write';
  readonly pattern: 'random' | 'sequential';
  readonly blockBytes: number;
  readonly depth: number;
  /** O_DIRECT, or through the page cache once it is warm. */
  readonly direct: boolean;
}

/** "4 KiB random read, depth 32, direct" */
export function nameOfLoad(load: Load): string {
  const { blockBytes, pattern, operation, depth } = load;
  const size = blockBytes >= 2 ** 20 ? `${blockBytes / 2 ** 20} MiB` : `${blockBytes / 1024} KiB`;
  return `${size} ${pattern} ${operation}, depth ${depth}, ${load.direct ? 'direct' : 'hot'}`;
}

/** The middle one of several samples by IOPS, and how far they lie apart. */
export function median(samples: readonly Sample[]): Sample {
  const sorted = [...samples].sort((a, b) => a.iops - b.iops);
  return sorted[Math.floor((sorted.length - 1) / 2)];
}

/** (highest − lowest) / median of the IOPS, as a fraction. */
export function spread(samples: readonly Sample[]): number {
  const all = samples.map((sample) => sample.iops);
  return (Math.max(...all) - Math.min(...all)) / median(samples).iops;
}
