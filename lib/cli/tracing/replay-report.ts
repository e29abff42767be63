/** How a replay's result reaches a person. */
import type { ReplayResult } from '../../trace/replay-result';
import type { OperationSummary } from '../../trace/replay-statistics';
import type { Output } from '../output';
import type { Column } from '../table';
import { formatSize } from '../sizes';

interface Row extends OperationSummary {
  readonly name: string;
}

const us = (value: number): string => (value >= 100 ? value.toFixed(0) : value.toFixed(1));

/**
 * Prints a replay's result, and that of the reading back that followed it, if one did.
 * @param extra goes into the JSON beside them.
 */
export function reportReplay(
  output: Output,
  replay: ReplayResult,
  readBack: ReplayResult | null,
  extra: object,
): void {
  const mismatches = replay.mismatches + (readBack?.mismatches ?? 0);
  if (output.json) {
    output.facts({ ...extra, mismatches, replay, readBack }, []);
    return;
  }
  output.table(COLUMNS, rowsOf(replay));
  for (const { sector, kind, expected, found } of [
    ...replay.mismatchSamples,
    ...(readBack?.mismatchSamples ?? []),
  ]) {
    output.note(`mismatch: sector ${sector} is ${kind}: expected ${expected}, found ${found}`);
  }
  output.result(null, figuresOf(replay).join(', '));
  if (readBack !== null) output.result(null, `read back: ${figuresOf(readBack).join(', ')}`);
  const errors = replay.total.errors + (readBack?.total.errors ?? 0);
  output.result(null, `errors: ${errors}, mismatches: ${mismatches}`);
}

const COLUMNS: readonly Column<Row>[] = [
  { head: 'OPERATION', text: (row) => row.name },
  { head: 'REQUESTS', text: (row) => String(row.requests), align: 'right' },
  { head: 'DATA', text: (row) => formatSize(row.bytes), align: 'right' },
  { head: 'ERRORS', text: (row) => String(row.errors), align: 'right' },
  { head: 'P50 µs', text: (row) => us(row.latencyUs.p50), align: 'right' },
  { head: 'P90', text: (row) => us(row.latencyUs.p90), align: 'right' },
  { head: 'P99', text: (row) => us(row.latencyUs.p99), align: 'right' },
  { head: 'P99.9', text: (row) => us(row.latencyUs.p999), align: 'right' },
  { head: 'MAX', text: (row) => us(row.latencyUs.max), align: 'right' },
];

function rowsOf(result: ReplayResult): Row[] {
  const rows: Row[] = Object.entries(result.operations).map(([name, of]) => ({ name, ...of }));
  return rows.length > 1 ? [...rows, { name: 'all', ...result.total }] : rows;
}

function figuresOf(result: ReplayResult): string[] {
  const { total } = result;
  return [
    `${total.requests} requests in ${(result.elapsedMs / 1000).toFixed(2)} s`,
    `${result.requestsPerSecond} IOPS`,
    `${(result.bytesPerSecond / 1e6).toFixed(1)} MB/s`,
    `depth ${result.depth}`,
    `${result.sectorsVerified} sectors verified`,
    ...(result.sectorsLearned > 0 ? [`${result.sectorsLearned} learned`] : []),
    ...(total.unsupported > 0 ? [`${total.unsupported} unsupported`] : []),
    ...(result.skipped > 0 ? [`${result.skipped} skipped`] : []),
    ...(result.backEndsReplaced > 0 ? [`back end replaced: ${result.backEndsReplaced}`] : []),
  ];
}
