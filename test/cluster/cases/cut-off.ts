/** The owner is cut off from etcd, or frozen: it stops before another host's first write. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Direction } from '../namespaces';
import { bytesWritten, WriteWatch } from '../processes';
import { ms } from '../quantile';
import {
  DIR_POOL,
  hostsOf,
  judge,
  LEASE_TTL_MS,
  type Outcome,
  servedLoadOn,
  type Site,
} from './case';

const REQUESTS_BETWEEN = 2_000;
/** After it is back, an owner that was none any more gets so long to do what it must not. */
const TEMPTED_MS = 2_000;

/** So small that all of it is soon written: what stops the owner is its fence, and not a commit. */
const WITHOUT_COMMITS = { sizeBytes: 4 * 2 ** 20, discards: false };

/** Both ways, and one way only: then what it asks arrives, and the answers do not, or the reverse. */
export async function partition(site: Site): Promise<Outcome> {
  const told: string[] = [];
  let passed = true;
  for (const direction of ['both', 'in', 'out'] as const) {
    const outcome = await cutOff(site, direction);
    told.push(`${direction}: ${outcome.figures}`);
    passed &&= outcome.passed;
  }
  return { passed, figures: told.join(' | ') };
}

async function cutOff(site: Site, direction: Direction): Promise<Outcome> {
  const [a, b] = hostsOf(site);
  const { volume, guest, served } = await servedLoadOn(site, a.host, DIR_POOL, WITHOUT_COMMITS);
  const next = b.host.newRing();
  const standby = await b.host.standBy(volume, next);
  await guest.untilAnswered(guest.answered + REQUESTS_BETWEEN);
  const [old, taker] = [new WriteWatch(served.pid), new WriteWatch(standby.pid)];
  const cutAtMs = performance.now();
  await a.namespace.cutOff(direction);
  const blackoutMs = await guest.move(next.ring, true);
  await guest.untilAnswered(guest.answered + REQUESTS_BETWEEN);
  await a.namespace.join();
  await sleep(TEMPTED_MS);
  for (const watch of [old, taker]) watch.stop();
  const stoppedMs = (old.lastMs ?? cutAtMs) - cutAtMs;
  const beganMs = (taker.firstMs ?? Infinity) - cutAtMs;
  const outcome = await judge(
    guest,
    `the owner's last write ${ms(stoppedMs)} after the cut, the other's first after ${ms(beganMs)}, blackout ${ms(blackoutMs)}`,
    stoppedMs < beganMs && stoppedMs < LEASE_TTL_MS,
  );
  for (const { host } of [a, b]) await host.killAll(volume);
  return outcome;
}

/** SIGSTOP for longer than the lease, another takes over, SIGCONT. */
export async function frozen(site: Site): Promise<Outcome> {
  const [a, b] = hostsOf(site);
  const { volume, guest, served } = await servedLoadOn(site, a.host, DIR_POOL, WITHOUT_COMMITS);
  const next = b.host.newRing();
  await b.host.standBy(volume, next);
  await guest.untilAnswered(guest.answered + REQUESTS_BETWEEN);
  process.kill(served.pid, 'SIGSTOP');
  const blackoutMs = await guest.move(next.ring, true);
  const before = bytesWritten(served.pid);
  process.kill(served.pid, 'SIGCONT');
  await guest.untilAnswered(guest.answered + REQUESTS_BETWEEN);
  await sleep(TEMPTED_MS);
  const written = bytesWritten(served.pid) - before;
  const outcome = await judge(
    guest,
    `taken over after ${ms(blackoutMs)}; continued, the old owner wrote ${written} bytes and acknowledged ${guest.lateAnswers} requests`,
    written === 0,
  );
  for (const { host } of [a, b]) await host.killAll(volume);
  return outcome;
}
