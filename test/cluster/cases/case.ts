/** What a case of the cluster test is given, and what it says. */
import { type LoadOptions, newLoadedVolume } from '../loaded-volume';
import type { Cluster, NetworkedHost } from '../cluster';
import type { Host, Served } from '../host';
import type { VerifiedGuest } from '../verified-guest';

/** Names of the pools that every case finds. */
export const DIR_POOL = 'files';
export const ETCD_POOL = 'keys';

/** Of both pools: short, so that the cases that wait for a lease are. */
export const LEASE_TTL_MS = 4_000;
const TAKE_OVER_WAIT_MS = 1_000;

/** Options of `pool create` and `pool join` that say so; theirs are in seconds. */
export const TIMES = [
  ...['--lease-ttl', String(LEASE_TTL_MS / 1_000)],
  ...['--take-over-wait', String(TAKE_OVER_WAIT_MS / 1_000)],
];

const MIB = 2 ** 20;

export interface Site {
  readonly cluster: Cluster;
  readonly seed: number;
  say(text: string): void;
}

export interface Outcome {
  readonly passed: boolean;
  /** The figures, for one line. */
  readonly figures: string;
}

export type Case = (site: Site) => Promise<Outcome>;

/** The first, second and third host. */
export function hostsOf({ cluster }: Site): readonly [NetworkedHost, NetworkedHost, NetworkedHost] {
  const [a, b, c] = cluster.hosts;
  return [a, b, c];
}

let volumes = 0;

/** A new volume and its guest: 32 MiB in chunks of 64 KiB unless told. */
export async function loadOn(
  site: Site,
  host: Host,
  pool = DIR_POOL,
  options: Partial<LoadOptions> = {},
): Promise<{ readonly volume: string; readonly guest: VerifiedGuest }> {
  const volume = `${pool}/disk${++volumes}`;
  const guest = await newLoadedVolume(host, {
    seed: site.seed,
    volume,
    sizeBytes: 32 * MIB,
    chunkBytes: MIB / 16,
    depth: 16,
    ...options,
  });
  return { volume, guest };
}

/** As loadOn; the host serves the volume, and its guest is at work. */
export async function servedLoadOn(
  site: Site,
  host: Host,
  pool = DIR_POOL,
  options: Partial<LoadOptions> = {},
): Promise<{ readonly volume: string; readonly guest: VerifiedGuest; readonly served: Served }> {
  const { volume, guest } = await loadOn(site, host, pool, options);
  const served = await host.attach(volume);
  await guest.connect(served.ring);
  guest.start();
  return { volume, guest, served };
}

/** Ends the load, reads the whole disk, and judges. */
export async function judge(
  guest: VerifiedGuest,
  figures: string,
  further = true,
): Promise<Outcome> {
  await guest.quiesce();
  await guest.verifyAll();
  const { answered, flushes, failures, mismatchCount, lateAnswers, mismatches } = guest;
  for (const mismatch of mismatches) process.stdout.write(`  ${JSON.stringify(mismatch)}\n`);
  guest.close();
  const counted =
    `${answered} requests, ${flushes} flushes, failed: ${failures}, mismatches: ${mismatchCount}` +
    (lateAnswers > 0 ? `, answered by one that was no owner: ${lateAnswers}` : '');
  return {
    passed: further && failures === 0 && mismatchCount === 0 && lateAnswers === 0,
    figures: `${figures}; ${counted}`,
  };
}
