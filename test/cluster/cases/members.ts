/** Members of etcd die and freeze under load: no error while a quorum lives, and how long it stalls. */
import type { Member } from '../members';
import { ms, stallText } from '../quantile';
import { DIR_POOL, ETCD_POOL, hostsOf, judge, loadOn, type Outcome, type Site } from './case';

const REPEATED = 3;
const REQUESTS_BETWEEN = 1_000;
/** How long a fault lasts: longer than an election, and than a lease. */
const FAULT_MS = 6_000;
/** Both down for longer than the lease: the owner's right runs out and must come back. */
const QUORUM_LOST_MS = 8_000;
const BACK_WITHIN_MS = 2_000;

type Fault = 'kill' | 'freeze';

export const membersUnderFiles = (site: Site): Promise<Outcome> => members(site, DIR_POOL);
export const membersUnderKeys = (site: Site): Promise<Outcome> => members(site, ETCD_POOL);

async function members(site: Site, pool: string): Promise<Outcome> {
  const [{ host }] = hostsOf(site);
  const { cluster } = site;
  const { volume, guest } = await loadOn(site, host, pool);
  const served = await host.attach(volume);
  await guest.connect(served.ring);
  guest.start();
  const told: string[] = [];
  for (const fault of ['kill', 'freeze'] as const) {
    for (const whose of ['leader', 'follower'] as const) {
      const stalls: number[] = [];
      for (let time = 0; time < REPEATED; time++) {
        await guest.untilAnswered(guest.answered + REQUESTS_BETWEEN);
        const member = await cluster.members[whose]();
        const window = guest.gaps.open();
        await begin(fault, member);
        await guest.untilAnswered(guest.answered + REQUESTS_BETWEEN);
        await untilElapsed(FAULT_MS / REPEATED);
        end(fault, member);
        await cluster.members.untilQuorum();
        await guest.untilAnswered(guest.answered + REQUESTS_BETWEEN);
        stalls.push(window.close());
      }
      told.push(`${whose} ${fault === 'kill' ? 'killed' : 'frozen'}: stall ${stallText(stalls)}`);
    }
  }
  const backMs: number[] = [];
  for (const fault of ['kill', 'freeze'] as const) {
    const { quorumMs, servedMs } = await loseQuorum(fault);
    backMs.push(servedMs - quorumMs);
    told.push(
      `two ${fault === 'kill' ? 'killed' : 'frozen'} for ${ms(QUORUM_LOST_MS)}: ` +
        `quorum ${ms(quorumMs)} after their return, served at ${ms(servedMs)}`,
    );
  }
  const inTime = backMs.every((time) => time <= BACK_WITHIN_MS);
  const outcome = await judge(guest, told.join('; '), inTime);
  await host.killAll(volume);
  return outcome;

  /** Milliseconds from when the members are back: to a read that succeeds, to the guest's answer. */
  async function loseQuorum(fault: Fault): Promise<{ quorumMs: number; servedMs: number }> {
    const leader = await cluster.members.leader();
    const follower = await cluster.members.follower();
    for (const member of [leader, follower]) await begin(fault, member);
    await untilElapsed(QUORUM_LOST_MS);
    const served = guest.untilAnswered(guest.answered + 1).then(() => performance.now());
    const backMs = performance.now();
    for (const member of [leader, follower]) end(fault, member);
    await cluster.members.untilQuorum();
    const quorumMs = performance.now() - backMs;
    const servedMs = (await served) - backMs;
    await guest.untilAnswered(guest.answered + REQUESTS_BETWEEN);
    return { quorumMs, servedMs };
  }
}

async function begin(fault: Fault, member: Member): Promise<void> {
  if (fault === 'kill') await member.kill();
  else member.freeze();
}

function end(fault: Fault, member: Member): void {
  if (fault === 'kill') member.start();
  else member.thaw();
}

function untilElapsed(durationMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, durationMs));
}
