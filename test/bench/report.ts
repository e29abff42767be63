/** The bench's table, and the same as JSON. */
import Table from 'cli-table3';
import { median, spread, type Sample } from './sample';

export interface Row {
  readonly load: string;
  readonly ours: { readonly name: string; readonly samples: readonly Sample[] };
  /** Measured in alternation with ours; null where there is nothing to compare with. */
  readonly peer: { readonly name: string; readonly samples: readonly Sample[] } | null;
  /** Least ratio of IOPS, ours to the peer's, that we want. */
  readonly goal: number | null;
}

const HEAD = ['load', 'who', 'IOPS', '±', 'MB/s', 'p50 µs', 'p99 µs', 'user µs', 'sys µs', 'ratio'];

export function printTable(rows: readonly Row[], write: (text: string) => void): void {
  const table = new Table({ head: HEAD, style: { head: [], border: [] } });
  for (const row of rows) {
    table.push(line(row.load, row.ours.name, row.ours.samples, ratioText(row)));
    if (row.peer !== null) table.push(line('', row.peer.name, row.peer.samples, ''));
  }
  write(`${table.toString()}\n`);
}

/** Everything measured, for a file. */
export function rowsAsJson(rows: readonly Row[]): object[] {
  return rows.map((row) => ({ ...row, ratio: ratioOf(row) }));
}

function line(load: string, who: string, samples: readonly Sample[], ratio: string): string[] {
  const middle = median(samples);
  return [
    load,
    who,
    Math.round(middle.iops).toLocaleString('en'),
    `${Math.round(spread(samples) * 100)} %`,
    middle.mbPerSecond.toFixed(0),
    middle.latencyUsP50.toFixed(0),
    middle.latencyUsP99.toFixed(0),
    middle.userUs?.toFixed(2) ?? '',
    middle.systemUs?.toFixed(2) ?? '',
    ratio,
  ];
}

function ratioOf(row: Row): number | null {
  return row.peer === null ? null : median(row.ours.samples).iops / median(row.peer.samples).iops;
}

function ratioText(row: Row): string {
  const ratio = ratioOf(row);
  if (ratio === null) return '';
  if (row.goal === null) return ratio.toFixed(2);
  const verdict = ratio < row.goal ? ', below goal' : '';
  return `${ratio.toFixed(2)} (goal ${row.goal.toFixed(2)}${verdict})`;
}
