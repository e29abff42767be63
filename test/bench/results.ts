/** Results on disk: each group's last, with the machine and the conditions that it ran under. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { conditions, machine, RESULTS_FILE } from './settings';
import type { Row } from './row';

export interface GroupResult {
  /** ISO 8601. */
  readonly at: string;
  readonly machine: string;
  readonly conditions: string;
  /** Mean number of runnable tasks (proc(5), loadavg) before the group began: a busy machine shows. */
  readonly loadBefore: number;
  readonly rows: readonly Row[];
}

export type Results = Record<string, GroupResult>;

export function readResults(): Results {
  if (!existsSync(RESULTS_FILE)) return {};
  return JSON.parse(readFileSync(RESULTS_FILE, 'utf8')) as Results;
}

/** Replaces the group's result; the others stay. */
export function keepResult(group: string, rows: readonly Row[], loadBefore: number): void {
  const at = new Date().toISOString();
  const result = { at, machine: machine(), conditions: conditions(), loadBefore, rows };
  writeFileSync(RESULTS_FILE, JSON.stringify({ ...readResults(), [group]: result }, null, 2));
}
