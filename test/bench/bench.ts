/**
 * `make bench`: groups of rows, each beside its peers. Arguments name groups; without any, all run.
 */
import { readFileSync } from 'node:fs';
import { chosen } from '../chosen';
import { etcd } from './groups/etcd';
import { first } from './groups/first';
import { growth } from './groups/growth';
import type { Group } from './groups/group';
import { nbd } from './groups/nbd';
import { ring } from './groups/ring';
import { countGoals, tableOf } from './report';
import { keepResult } from './results';
import type { Row } from './row';
import { conditions, machine, RESULTS_FILE } from './settings';

const GROUPS: Readonly<Record<string, Group>> = { first, ring, nbd, growth, etcd };

function say(text: string): void {
  process.stdout.write(text);
}

async function main(names: readonly string[]): Promise<void> {
  const groups = chosen('group', GROUPS, names);
  say(`${machine()}; ${conditions()}\n`);
  const startedMs = performance.now();
  const all: Row[] = [];
  for (const [name, runGroup] of groups) {
    const loadBefore = Number(readFileSync('/proc/loadavg', 'utf8').split(' ')[0]);
    say(`\n${name} (load average before: ${loadBefore})\n`);
    const rows: Row[] = [];
    await runGroup((row) => {
      rows.push(row);
      say(`  ${row.load}\n`);
    });
    say(tableOf(rows));
    keepResult(name, rows, loadBefore);
    all.push(...rows);
  }
  const { goals, met } = countGoals(all);
  const minutes = ((performance.now() - startedMs) / 60_000).toFixed(1);
  say(`${met} of ${goals} goals reached, in ${minutes} minutes; also in ${RESULTS_FILE}\n`);
}

main(process.argv.slice(2)).then(
  () => process.exit(0),
  (error: unknown) => {
    say(`bench failed: ${error instanceof Error ? (error.stack ?? '') : String(error)}\n`);
    process.exit(1);
  },
);
