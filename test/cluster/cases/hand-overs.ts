/** A live disk moves between two hosts again and again, under load: nothing fails, and how long it is away. */
import { ms, quantile } from '../quantile';
import { hostsOf, judge, type Outcome, servedLoadOn, type Site } from './case';

const HAND_OVERS = Number(process.env.HAND_OVERS ?? 100);
const REQUESTS_BETWEEN = 500;
const P50_GOAL_MS = 100;

export async function handOvers(site: Site): Promise<Outcome> {
  const [a, b] = hostsOf(site);
  const { volume, guest } = await servedLoadOn(site, a.host);
  let [owner, other] = [a.host, b.host];
  const blackouts: number[] = [];
  /** Of each blackout what the old side took: to drain, to flush, to give the volume away. */
  const oldSides: number[] = [];
  for (let time = 0; time < HAND_OVERS; time++) {
    const next = other.newRing();
    await other.standByDirectly(volume, next);
    await guest.untilAnswered(guest.answered + REQUESTS_BETWEEN);
    const moved = guest.move(next.ring);
    oldSides.push((await owner.handOver(volume)).blackoutMs);
    blackouts.push(await moved);
    [owner, other] = [other, owner];
  }
  const p50 = quantile(blackouts, 0.5);
  const figures =
    `${HAND_OVERS} hand-overs, blackout p50 ${ms(p50)} (goal ${P50_GOAL_MS} ms), ` +
    `p99 ${ms(quantile(blackouts, 0.99))}, max ${ms(quantile(blackouts, 1))}, of it the old side p50 ${ms(quantile(oldSides, 0.5))}`;
  const outcome = await judge(guest, figures);
  await owner.killAll(volume);
  return outcome;
}
