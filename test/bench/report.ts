/** The bench's table. */
import Table from 'cli-table3';
import { isMet, type Goal, type Line, type Row } from './row';

const HEAD = ['load', 'who', 'IOPS', '±', 'MB/s', 'p50 µs', 'p99 µs', 'user µs', 'sys µs', 'MiB'];
const BELOW_GOAL = 'below goal';

export function tableOf(rows: readonly Row[]): string {
  const extra = [...new Set(rows.flatMap(({ lines }) => lines.flatMap((line) => headsOf(line))))];
  const table = new Table({
    head: [...HEAD, ...extra, 'ratio', 'goal', ''],
    style: { head: [], border: [], compact: true },
    colAligns: ['left', 'left'],
  });
  for (const { load, lines } of rows) {
    for (const [index, line] of lines.entries()) {
      table.push([index === 0 ? load : '', line.who, ...cellsOf(line, extra)]);
    }
  }
  return `${table.toString()}\n`;
}

/** How many goals there are, and how many are reached. */
export function countGoals(rows: readonly Row[]): { goals: number; met: number } {
  let goals = 0;
  let met = 0;
  for (const { value, goal } of rows.flatMap(({ lines }) => lines.flatMap(verdictsOf))) {
    goals++;
    if (isMet(value, goal)) met++;
  }
  return { goals, met };
}

export interface Verdict {
  readonly name: string;
  readonly value: number;
  readonly goal: Goal;
}

/** Whatever of a line has a goal. */
export function verdictsOf(line: Line): Verdict[] {
  const ratios = line.ratios.flatMap(({ of, value, goal }) =>
    goal === null ? [] : [{ name: of, value, goal }],
  );
  return [...ratios, ...line.figures];
}

function headsOf(line: Line): string[] {
  return Object.keys(line.extra);
}

function cellsOf(line: Line, extra: readonly string[]): string[] {
  const { summary } = line;
  const verdicts = verdictsOf(line);
  const several = line.ratios.length > 1;
  return [
    ...(summary === null
      ? HEAD.slice(2).map(() => '')
      : [
          Math.round(summary.iops).toLocaleString('en'),
          `${Math.round(summary.spread * 100)} %`,
          summary.mbPerSecond.toFixed(0),
          summary.latencyUsP50?.toFixed(0) ?? '',
          summary.latencyUsP99?.toFixed(0) ?? '',
          summary.userUsPerRequest?.toFixed(2) ?? '',
          summary.systemUsPerRequest?.toFixed(2) ?? '',
          summary.residentBytes === null ? '' : (summary.residentBytes / 2 ** 20).toFixed(0),
        ]),
    ...extra.map((head) => (head in line.extra ? shown(line.extra[head]) : '')),
    line.ratios.map(({ of, value }) => (several ? `${of} ` : '') + value.toFixed(2)).join(', '),
    verdicts.map((verdict) => goalText(verdict, several)).join(', '),
    verdicts.every(({ value, goal }) => isMet(value, goal)) ? '' : BELOW_GOAL,
  ];
}

function goalText({ name, goal }: Verdict, named: boolean): string {
  const prefix = name === 'IOPS' && !named ? '' : `${name} `;
  return `${prefix}${goal.sense === 'at least' ? '≥' : '≤'} ${goal.value}`;
}

function shown(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}
