/**
 * `make bench-allocations` and `make bench-profile`: what each request costs in memory allocated or
 * in time, by function, of a process that serves a ring or an NBD export at depth 32.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import Table from 'cli-table3';
import { fioOnNbd } from './fio';
import { untilUndone } from './left-behind';
import { loads, nameOfLoad, type Load } from './load';
import { NbdPeer } from './nbd-peer';
import { profile, profileEnvironment, type Profile, type ProfileKind } from './profile';
import type { Sample } from './sample';
import { ServedRing } from './served-ring';
import { conditions, DISK_BYTES, KIB, machine, MEMORY_DIRECTORY } from './settings';

const PLACES_SHOWN = 16;
/** Waiting, and the profiler itself. */
const NOT_THE_REQUESTS = /^\(idle\)$|node:inspector|profile-probe/;
const LOADS = loads('random', 4 * KIB, [32]);
const UNITS = { allocations: 'bytes', time: 'µs' } as const;

function say(text: string): void {
  process.stdout.write(text);
}

async function main(kind: ProfileKind): Promise<void> {
  say(`${machine()}; ${conditions()}\n`);
  const file = join(MEMORY_DIRECTORY, `tapdisk-ts-profile-${process.pid}.json`);
  untilUndone(() => rmSync(file, { force: true }));
  const env = profileEnvironment(kind, file);
  const served = await ServedRing.prepare({ path: 'direct', env });
  for (const load of LOADS) {
    await show(kind, `ring, ${nameOfLoad(load, 'direct')}`, served.pid, file, () =>
      served.run(load),
    );
  }
  await served.stop();
  const nbd = await NbdPeer.tapdiskTs(served.tapdisk);
  const ask = (load: Load): Promise<Sample> => fioOnNbd(load, nbd.uri, DISK_BYTES);
  for (const load of LOADS) await ask(load);
  for (const load of LOADS) {
    await show(kind, `NBD, ${nameOfLoad(load, 'direct')}`, nbd.pid, file, () => ask(load));
  }
  await nbd.stop();
  served.remove();
}

async function show(
  kind: ProfileKind,
  title: string,
  pid: number,
  file: string,
  run: () => Promise<Sample>,
): Promise<void> {
  const found = await profile(pid, file, run);
  const { requests } = found.result;
  const rows = perRequest(found.profile, requests);
  const total = rows.reduce((sum, [, amount]) => sum + amount, 0);
  const unit = UNITS[kind];
  say(
    `\n${title}: ${requests} requests, ${total.toFixed(2)} ${unit} a request, ` +
      `${found.profile.collections} garbage collections\n`,
  );
  const table = new Table({
    head: [`${unit} a request`, 'in'],
    style: { head: [], border: [], compact: true },
    colAligns: ['right', 'left'],
  });
  for (const [place, amount] of rows.slice(0, PLACES_SHOWN)) table.push([amount.toFixed(2), place]);
  say(`${table.toString()}\n`);
}

function perRequest({ places }: Profile, requests: number): [string, number][] {
  return places
    .map(([place, amount]): [string, number] => [place, amount / requests])
    .filter(([place]) => !NOT_THE_REQUESTS.test(place))
    .sort((a, b) => b[1] - a[1]);
}

main(process.argv[2] === 'time' ? 'time' : 'allocations').then(
  () => process.exit(0),
  (error: unknown) => {
    say(`bench failed: ${error instanceof Error ? (error.stack ?? '') : String(error)}\n`);
    process.exit(1);
  },
);
