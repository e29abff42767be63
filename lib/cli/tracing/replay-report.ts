/** How a replay's result reaches a person. */
import type { ReplayResult } from '../../trace/replay-result';
import type { OperationSummary } from '../../trace/replay-statistics';
import type { Output } from '../output';
import { formatSize } from '../sizes';

interface Row extends OperationSummary {
  readonly name: string;
}

const us = (value: number): string => (value >= 100 ? value.toFixed(0) : value.toFixed(1));

/** `extra` goes into the JSON beside the result. */
export function reportReplay(output: Output, result: ReplayResult, extra: object): void {
  if (output.json) {
    output.facts({ ...result, ...extra }, []);
    return;
  }
  const rows: Row[] = Object.entries(result.operations).map(([name, of]) => ({ name, ...of }));
  if (rows.length > 1) rows.push({ name: 'all', ...result.total });
  output.table(
    [
      { head: 'OPERATION', text: (row) => row.name },
      { head: 'REQUESTS', text: (row) => String(row.requests), align: 'right' },
      { head: 'DATA', text: (row) => formatSize(row.bytes), align: 'right' },
      { head: 'ERRORS', text: (row) => String(row.errors), align: 'right' },
      { head: 'P50 µs', text: (row) => us(row.latencyUs.p50), align: 'right' },
      { head: 'P90', text: (row) => us(row.latencyUs.p90), align: 'right' },
      { head: 'P99', text: (row) => us(row.latencyUs.p99), align: 'right' },
      { head: 'P99.9', text: (row) => us(row.latencyUs.p999), align: 'right' },
      { head: 'MAX', text: (row) => us(row.latencyUs.max), align: 'right' },
    ],
    rows,
  );
  for (const { sector, kind, expected, found } of result.mismatchSamples) {
    output.note(`mismatch: sector ${sector} is ${kind}: expected ${expected}, found ${found}`);
  }
  const unsupported = result.total.unsupported;
  const figures = [
    `${result.total.requests} requests in ${(result.elapsedMs / 1000).toFixed(2)} s`,
    `${result.requestsPerSecond} IOPS`,
    `${(result.bytesPerSecond / 1e6).toFixed(1)} MB/s`,
    `depth ${result.depth}`,
    `${result.sectorsVerified} sectors verified`,
    ...(result.sectorsLearned > 0 ? [`${result.sectorsLearned} learned`] : []),
    ...(unsupported > 0 ? [`${unsupported} unsupported`] : []),
    ...(result.skipped > 0 ? [`${result.skipped} skipped`] : []),
    ...(result.backEndsReplaced > 0 ? [`back end replaced: ${result.backEndsReplaced}`] : []),
    `errors: ${result.total.errors}`,
    `mismatches: ${result.mismatches}`,
  ];
  output.result(null, figures.join(', '));
}
