/** The owner is killed with -9: it comes back on its own host, or a standby on another takes over. */
import { kill } from '../processes';
import { ms, stallText } from '../quantile';
import {
  hostsOf,
  judge,
  LEASE_TTL_MS,
  loadOn,
  type Outcome,
  servedLoadOn,
  type Site,
} from './case';

const RESTARTS = 5;
const TAKE_OVERS = 3;
const REQUESTS_BETWEEN = 2_000;

/** Of the restarts' pool: so long that whoever waits for the lease, or for its end, is noticed. */
const PATIENT_POOL = 'patient';
const PATIENT_LEASE_MS = 60_000;
const PATIENT_TIMES = ['--lease-ttl', String(PATIENT_LEASE_MS / 1_000), '--take-over-wait', '30'];

/** As a supervisor does: nothing is waited for, since that the owner is dead is certain here. */
export async function restart(site: Site): Promise<Outcome> {
  const [{ host }] = hostsOf(site);
  await site.cluster.createPool(PATIENT_POOL, 'dir', PATIENT_TIMES);
  const { volume, guest } = await loadOn(site, host, PATIENT_POOL);
  const ring = host.newRing();
  let served = await host.attach(volume, [], ring);
  await guest.connect(ring.ring);
  guest.start();
  const stalls: number[] = [];
  const attaching: number[] = [];
  for (let time = 0; time < RESTARTS; time++) {
    await guest.untilAnswered(guest.answered + REQUESTS_BETWEEN);
    const window = guest.gaps.open();
    await kill(served.pid);
    const startedMs = performance.now();
    served = await host.attach(volume, [], ring);
    attaching.push(performance.now() - startedMs);
    await guest.untilAnswered(guest.answered + 1);
    stalls.push(window.close());
  }
  await guest.untilAnswered(guest.answered + REQUESTS_BETWEEN);
  const outcome = await judge(
    guest,
    `${RESTARTS} kills, attached again in ${stallText(attaching)}, stalls ${stallText(stalls)} ` +
      `(lease ${ms(PATIENT_LEASE_MS)})`,
    Math.max(...stalls) < PATIENT_LEASE_MS / 2,
  );
  await host.killAll(volume);
  return outcome;
}

export async function takeOver(site: Site): Promise<Outcome> {
  const [a, b] = hostsOf(site);
  const { volume, guest, served: first } = await servedLoadOn(site, a.host);
  let [owner, other] = [a.host, b.host];
  let served = first;
  const stalls: number[] = [];
  for (let time = 0; time < TAKE_OVERS; time++) {
    const next = other.newRing();
    const standby = await other.standBy(volume, next);
    await guest.untilAnswered(guest.answered + REQUESTS_BETWEEN);
    const moved = guest.move(next.ring);
    await kill(served.pid);
    stalls.push(await moved);
    served = standby;
    [owner, other] = [other, owner];
  }
  await guest.untilAnswered(guest.answered + REQUESTS_BETWEEN);
  const outcome = await judge(
    guest,
    `${TAKE_OVERS} kills of the owner, a standby on another host goes on after ${stallText(stalls)} (lease ${ms(LEASE_TTL_MS)})`,
  );
  await owner.killAll(volume);
  return outcome;
}
