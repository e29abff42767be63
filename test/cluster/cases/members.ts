/** Members of etcd die, freeze and are unplugged under load: no error while a quorum lives, and how long it stalls. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Member } from '../members';
import { ms, stallText } from '../quantile';
import type { VerifiedGuest } from '../verified-guest';
import { DIR_POOL, ETCD_POOL, hostsOf, judge, type Outcome, servedLoadOn, type Site } from './case';

const REPEATED = 3;
const REQUESTS_BETWEEN = 200;
/** How long a fault lasts: longer than an election. */
const FAULT_MS = 2_500;
/** Both down for longer than the lease: the owner's right runs out and must come back. */
const QUORUM_LOST_MS = 8_000;
const BACK_WITHIN_MS = 2_000;

interface Fault {
  readonly name: string;
  begin(member: Member): Promise<void>;
  end(member: Member): Promise<void>;
}

const KILLED: Fault = {
  name: 'killed',
  begin: (member) => member.kill(),
  end: async (member) => member.start(),
};

const FROZEN: Fault = {
  name: 'frozen',
  begin: async (member) => member.freeze(),
  end: async (member) => member.thaw(),
};

const UNPLUGGED: Fault = {
  name: 'unplugged',
  begin: (member) => member.namespace.unplug(),
  end: (member) => member.namespace.plugIn(),
};

export const membersUnderFiles = (site: Site): Promise<Outcome> => members(site, DIR_POOL);
export const membersUnderKeys = (site: Site): Promise<Outcome> => members(site, ETCD_POOL);

async function members(site: Site, pool: string): Promise<Outcome> {
  const [{ host }] = hostsOf(site);
  const { volume, guest } = await servedLoadOn(site, host, pool);
  const told: string[] = [];
  for (const whose of ['leader', 'follower'] as const) {
    for (const fault of [KILLED, FROZEN, UNPLUGGED]) {
      const stalls: number[] = [];
      for (let time = 0; time < REPEATED; time++) stalls.push(await stallOf(fault, whose));
      told.push(`${whose} ${fault.name}: stall ${stallText(stalls)}`);
    }
  }
  let inTime = true;
  for (const fault of [KILLED, FROZEN]) {
    const { quorumMs, servedMs } = await loseQuorum(site, guest, fault);
    inTime &&= servedMs - quorumMs <= BACK_WITHIN_MS;
    told.push(
      `two ${fault.name} for ${ms(QUORUM_LOST_MS)}: quorum ${ms(quorumMs)} after their return, ` +
        `served at ${ms(servedMs)}`,
    );
  }
  const outcome = await judge(guest, told.join('; '), inTime);
  await host.killAll(volume);
  return outcome;

  async function stallOf(fault: Fault, whose: 'leader' | 'follower'): Promise<number> {
    await guest.untilAnswered(guest.answered + REQUESTS_BETWEEN);
    const member = await site.cluster.members[whose]();
    const window = guest.gaps.open();
    await fault.begin(member);
    await sleep(FAULT_MS);
    await guest.untilAnswered(guest.answered + REQUESTS_BETWEEN);
    await fault.end(member);
    await site.cluster.members.untilAllServe();
    await guest.untilAnswered(guest.answered + REQUESTS_BETWEEN);
    return window.close();
  }
}

/** Milliseconds from when the members are back: to a read that succeeds, and to the guest's answer. */
async function loseQuorum(
  { cluster }: Site,
  guest: VerifiedGuest,
  fault: Fault,
): Promise<{ quorumMs: number; servedMs: number }> {
  const lost = [await cluster.members.leader(), await cluster.members.follower()];
  for (const member of lost) await fault.begin(member);
  await sleep(QUORUM_LOST_MS);
  const served = guest.untilAnswered(guest.answered + 1).then(() => performance.now());
  const backMs = performance.now();
  for (const member of lost) await fault.end(member);
  await cluster.members.untilQuorum();
  const quorumMs = performance.now() - backMs;
  const servedMs = (await served) - backMs;
  await cluster.members.untilAllServe();
  await guest.untilAnswered(guest.answered + REQUESTS_BETWEEN);
  return { quorumMs, servedMs };
}
