/**
 * Coordination by etcd over a real distributed file system: the owner is killed, or cut off, and
 * another host goes on from a mount of its own. `SEED=n` repeats the choices.
 */
import { join } from 'node:path';
import { Cluster, type NetworkedHost } from './cluster';
import { hostsOf, judge, LEASE_TTL_MS, type Outcome, servedLoadOn, TIMES } from './cases/case';
import { MooseFs } from './moose-fs';
import { kill } from './processes';
import { ms } from './quantile';

const POOL = 'moose';
const SEED = Number(process.env.SEED ?? Date.now() % 2 ** 31);
const REQUESTS_BETWEEN = 1_000;
const MIB = 2 ** 20;
/** Small: each request goes through FUSE, and to two chunk servers. */
const SIZE_BYTES = 8 * MIB;

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

/**
 * First the owner is killed, then its successor is cut off from etcd. (Cut off from the file system
 * too, its client would bring late what it had taken: see docs/operations-etcd.md.)
 */
async function takeOvers(cluster: Cluster): Promise<Outcome> {
  const site = { cluster, seed: SEED, say };
  const [a, b, c] = hostsOf(site);
  const { volume, guest, served } = await servedLoadOn(site, a.host, POOL, {
    sizeBytes: SIZE_BYTES,
    depth: 8,
  });
  const members = cluster.members.all.map(({ namespace }) => namespace);
  const killed = await moveTo(b, () => kill(served.pid));
  const cut = await moveTo(c, () => b.namespace.cutOff('both', members));
  await guest.untilAnswered(guest.answered + REQUESTS_BETWEEN);
  await b.namespace.join();
  await guest.untilAnswered(guest.answered + REQUESTS_BETWEEN);
  const outcome = await judge(
    guest,
    `taken over from another mount ${ms(killed)} after a kill, ${ms(cut)} after a cut from etcd`,
  );
  for (const { host } of [b, c]) await host.killAll(volume);
  return outcome;

  async function moveTo({ host }: NetworkedHost, fault: () => Promise<void>): Promise<number> {
    const next = host.newRing();
    await host.standBy(volume, next);
    await guest.untilAnswered(guest.answered + REQUESTS_BETWEEN);
    const moved = guest.move(next.ring, true);
    await fault();
    return moved;
  }
}

async function main(): Promise<number> {
  if (process.getuid?.() !== 0) throw new Error('network namespaces and mounts need root');
  say(`MooseFS under etcd: seed ${SEED}, lease ${ms(LEASE_TTL_MS)}`);
  const cluster = await Cluster.start();
  const files = await MooseFs.start(cluster.network, join(cluster.directory, 'mfs'));
  const mounts = new Map<string, string>();
  for (const { host, namespace } of cluster.hosts) {
    mounts.set(host.name, await files.mount(host.name, namespace));
  }
  await cluster.createPool(POOL, 'dir', TIMES, ({ host }) => mounts.get(host.name) ?? '');
  const { passed, figures } = await takeOvers(cluster);
  say(`${passed ? 'ok    ' : 'FAILED'} ${figures}`);
  cluster.stop();
  return passed ? 0 : 1;
}

// Whatever ends it early has not passed.
process.exitCode = 1;

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    say(`MooseFS test FAILED: ${error instanceof Error ? error.message : String(error)}`);
    process.exit(1);
  },
);
