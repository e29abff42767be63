/**
 * A guest whose front end breaks every rule (guest/hostile.c), and connects again after each attack,
 * beside a guest that verifies what it writes: only the attacker's disk may be stopped, for a reason
 * that is named.
 */
import { backEndOf, XVDA } from '../lab/back-end';
import { type Case, PLUGGED, type Site } from '../lab/case';
import type { Guest } from '../lab/guest';
import { kernelLines } from '../lab/kernel-lines';
import { daemonRuns } from '../lab/daemon';
import { isLoaded, verified } from './fio';

interface Attack {
  readonly name: string;
  /** What the node `error` of the disk begins with; null: every request is answered, nothing stops. */
  readonly stoppedFor: RegExp | null;
}

const ATTACKS: readonly Attack[] = [
  { name: 'garbage', stoppedFor: null },
  { name: 'bad-grants', stoppedFor: null },
  { name: 'revoke', stoppedFor: null },
  { name: 'rewrite', stoppedFor: null },
  { name: 'storm', stoppedFor: null },
  { name: 'overflow', stoppedFor: /producer overflow/ },
  { name: 'rewind', stoppedFor: /producer (overflow|rewound)/ },
  { name: 'scribble', stoppedFor: /producer (overflow|rewound)/ },
];

const ATTACK_SECONDS = 2;
/** MiB that the other guest writes and verifies meanwhile, again and again. */
const LOAD_MIB = 16;

export const hostile: Case = async (site) => {
  const { lab } = site;
  const peaceful = await site.plug(await site.volume('64M'));
  const attacked = await site.volume('16M');
  const attacker = await site.guestOn([attacked], {
    kernelOptions: 'module_blacklist=xen_blkfront',
  });
  await attacker.sh('modprobe xen-gntalloc; modprobe xen-evtchn');
  let isOver = false;
  const load = verifyUntil(peaceful, () => isOver);
  load.catch(() => undefined);
  await isLoaded(peaceful, PLUGGED);
  const told: string[] = [];
  for (const attack of ATTACKS) told.push(await tryAttack(site, attacker, attack));
  isOver = true;
  told.push(`the other guest verified ${await load} times meanwhile`);
  if (!(await daemonRuns(lab))) throw new Error('the daemon did not live on');
  const complaints = await lab.dom0(kernelLines('BUG|Oops|WARNING|panic'));
  if (complaints !== '') throw new Error(`dom0's kernel complains: ${complaints}`);
  return told.join('; ');
};

async function tryAttack(
  site: Site,
  attacker: Guest,
  { name, stoppedFor }: Attack,
): Promise<string> {
  const output = await attacker.sh(`hostile ${XVDA} ${name} ${ATTACK_SECONDS}`);
  const over = /over: (\d+) okay, (\d+) refused, (\d+) unanswered, back end in state (\d)/.exec(
    output,
  );
  if (over === null) throw new Error(`${name}: ${output.trim()}`);
  const [okay, refused, unanswered, state] = over.slice(1).map(Number);
  const node = `${backEndOf(attacker, XVDA)}/error`;
  const error = await site.lab.dom0(`if xenstore-exists ${node}; then xenstore-read ${node}; fi`);
  if (stoppedFor === null) {
    if (error !== '' || unanswered > 0 || state !== 4) {
      throw new Error(`${name} stopped its disk: ${output.trim()} ${error}`);
    }
    return `${name} ${okay} okay, ${refused} refused`;
  }
  if (!stoppedFor.test(error)) throw new Error(`${name}: ${output.trim()}, error node: '${error}'`);
  return `${name} stopped`;
}

/** @returns how often */
async function verifyUntil(guest: Guest, isOver: () => boolean): Promise<number> {
  let count = 0;
  for (; !isOver(); count++) await verified(guest, PLUGGED, LOAD_MIB);
  return count;
}
