/** `tapdisk-ts stats`: what a running disk has done, once or again and again. */
import { setTimeout as delay } from 'node:timers/promises';
import { defineCommand } from '../command';
import { UsageError } from '../failure';
import { askDisk, diskOptions, findDisk } from '../running/disk-options';
import { flatten, operationRows, OPERATION_COLUMNS } from '../running/statistics-view';

const SECONDS_MAX = 86_400;

export const command = defineCommand({
  examples: [
    ['tapdisk-ts stats main/disk1', 'Everything since it was attached'],
    ['tapdisk-ts stats main/disk1 --watch 1', 'Rates, every second, until interrupted'],
    [
      'tapdisk-ts stats main/disk1 --json --watch 5 --count 12',
      'A minute of samples for a program',
    ],
  ],
  options: (yargs) =>
    diskOptions(yargs)
      .option('watch', { type: 'number', requiresArg: true, describe: 'Repeat every SECONDS' })
      .option('count', {
        type: 'number',
        requiresArg: true,
        implies: 'watch',
        describe: 'Samples to show, then end',
      }),
  async run(options, { io, output }) {
    const { watch, count } = options;
    checkPositive('--watch', watch, SECONDS_MAX);
    checkPositive('--count', count, Number.MAX_SAFE_INTEGER);
    const found = await findDisk(options, io);
    if (watch === undefined) {
      const statistics = await askDisk(found, 'statistics', {});
      if (!output.json) output.table(OPERATION_COLUMNS, operationRows(statistics, null, 0));
      const others = Object.entries(statistics).filter(([name]) => name !== 'requests');
      output.facts(statistics, flatten(Object.fromEntries(others)));
      return;
    }
    let before: Record<string, unknown> | null = null;
    let beforeMs = 0;
    for (let sample = 0; sample < (count ?? Infinity); sample++) {
      if (sample > 0) await delay(watch * 1000);
      const statistics = await askDisk(found, 'statistics', {});
      const nowMs = performance.now();
      // One object a line, so that a reader need not wait for an end.
      if (output.json) io.out(`${JSON.stringify(statistics)}\n`);
      else output.table(OPERATION_COLUMNS, operationRows(statistics, before, nowMs - beforeMs));
      before = statistics;
      beforeMs = nowMs;
    }
  },
});

function checkPositive(option: string, value: number | undefined, max: number): void {
  if (value === undefined || (value > 0 && value <= max)) return;
  throw new UsageError(`${option} must be a number above 0 and at most ${max}`);
}
