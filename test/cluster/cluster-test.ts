/**
 * The whole, across processes and hosts: three real etcd members and three hosts, in networks of
 * their own, and a guest that verifies. `CASE=name` runs one case, `SEED=n` repeats the choices.
 */
import { chosenCases } from '../chosen';
import { takeOver, restart } from './cases/take-over';
import { type Case, DIR_POOL, ETCD_POOL, LEASE_TTL_MS, TIMES } from './cases/case';
import { frozen, partition } from './cases/cut-off';
import { handOvers } from './cases/hand-overs';
import { membersUnderFiles, membersUnderKeys } from './cases/members';
import { races } from './cases/races';
import { Cluster } from './cluster';
import { ms } from './quantile';

const CASES: Readonly<Record<string, Case>> = {
  races,
  restart,
  'take-over': takeOver,
  partition,
  frozen,
  'hand-overs': handOvers,
  'members-dir': membersUnderFiles,
  'members-etcd': membersUnderKeys,
};

const SEED = Number(process.env.SEED ?? Date.now() % 2 ** 31);

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** @returns whether it passed */
async function runCase(name: string, one: Case, cluster: Cluster): Promise<boolean> {
  const startedMs = performance.now();
  const outcome = await one({ cluster, seed: SEED, say }).catch((error: unknown) => ({
    passed: false,
    figures: error instanceof Error ? (error.stack ?? error.message) : String(error),
  }));
  const took = ms(performance.now() - startedMs);
  say(`${outcome.passed ? 'ok    ' : 'FAILED'} ${name} (${took}): ${outcome.figures}`);
  return outcome.passed;
}

async function main(): Promise<number> {
  const cases = chosenCases(CASES);
  if (process.getuid?.() !== 0) throw new Error('network namespaces need root');
  const startedMs = performance.now();
  say(`cluster test: seed ${SEED} (SEED=${SEED} repeats the choices), lease ${ms(LEASE_TTL_MS)}`);
  const cluster = await Cluster.start();
  await cluster.createPool(DIR_POOL, 'dir', TIMES);
  await cluster.createPool(ETCD_POOL, 'etcd', TIMES);
  let failed = 0;
  for (const [name, one] of cases) if (!(await runCase(name, one, cluster))) failed++;
  cluster.stop();
  say(`${cases.length} cases, failed: ${failed}, in ${ms(performance.now() - startedMs)}`);
  return failed === 0 ? 0 : 1;
}

// Whatever ends it early has not passed.
process.exitCode = 1;

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    say(`cluster test FAILED: ${error instanceof Error ? error.message : String(error)}`);
    process.exit(1);
  },
);
