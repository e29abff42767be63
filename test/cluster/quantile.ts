/** Figures of many measurements, for one line. */

/** The nearest rank's value; of nothing, NaN. */
export function quantile(values: readonly number[], fraction: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  if (sorted.length === 0) return NaN;
  return sorted[Math.min(sorted.length - 1, Math.ceil(fraction * sorted.length) - 1)];
}

/** "p50 12 ms, max 34 ms" of times in milliseconds. */
export function stallText(values: readonly number[]): string {
  return `p50 ${ms(quantile(values, 0.5))}, max ${ms(quantile(values, 1))}`;
}

/** "12.3 ms", "1.23 s" */
export function ms(value: number): string {
  if (value >= 1000) return `${(value / 1000).toFixed(2)} s`;
  return `${value.toFixed(value < 10 ? 1 : 0)} ms`;
}
