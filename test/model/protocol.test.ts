/**
 * The protocol holds in every state that its model can come to, and the model shows mistakes.
 *
 * MODEL=full explores further, which takes minutes and some GB of memory (make test-model).
 */
import { explore } from './explore';
import type { PlantedBugs } from './planted-bugs';
import { Protocol, type Scope } from './protocol';

/** Far more than it takes; other work on the machine is no failure. */
jest.setTimeout(1_800_000);

const isFull = process.env.MODEL === 'full';
const STATES_MAX = isFull ? 8_000_000 : 400_000;

const PLAIN: Scope = {
  epochMax: 2,
  faultsMax: 1,
  slowReplies: false,
  steals: false,
  handsOver: false,
  kills: false,
};

interface Case {
  readonly name: string;
  readonly scope: Scope;
  readonly depthMax?: number;
}

/** Each ends in seconds. */
const quick: readonly Case[] = [
  { name: 'messages are lost, late or done twice', scope: { ...PLAIN, slowReplies: true } },
  { name: 'processes are killed', scope: { ...PLAIN, kills: true } },
  {
    name: 'operators steal, and are killed',
    scope: { ...PLAIN, faultsMax: 0, steals: true, kills: true },
  },
  {
    name: 'one stands by and is handed the volume',
    scope: { ...PLAIN, handsOver: true },
    depthMax: 13,
  },
];

const full: readonly Case[] = [
  { name: 'three epochs', scope: { ...PLAIN, epochMax: 3, faultsMax: 2, slowReplies: true } },
  { name: 'kills, three epochs', scope: { ...PLAIN, epochMax: 3, faultsMax: 2, kills: true } },
  { name: 'steals and kills', scope: { ...PLAIN, faultsMax: 2, steals: true, kills: true } },
  { name: 'hand-overs', scope: { ...PLAIN, handsOver: true } },
  {
    name: 'hand-overs, steals and kills',
    scope: { ...PLAIN, epochMax: 3, handsOver: true, steals: true, kills: true },
    depthMax: 14,
  },
];

test.each(isFull ? full : quick)('the protocol holds where $name', ({ name, scope, depthMax }) => {
  const bounds = { statesMax: STATES_MAX, ...(depthMax !== undefined && { depthMax }) };
  const { states, steps, depth, counterExample } = explore(new Protocol(scope), bounds);
  if (counterExample !== null) throw new Error(story(counterExample));
  console.log(`${name}: ${states} states, ${steps} steps, ${depth} deep`);
});

const mistakes: readonly [keyof PlantedBugs, Partial<Scope>][] = [
  ['noSelfFence', {}],
  ['lockWithoutEpoch', {}],
  ['fenceFromReply', { slowReplies: true }],
  ['fenceFromAttach', { handsOver: true, faultsMax: 0 }],
  ['commitWithoutCompare', {}],
  ['noTakeOverWait', {}],
  ['noStealWait', { steals: true }],
  ['waitNotKept', { steals: true, faultsMax: 0, epochMax: 3 }],
  ['handOverByRelease', { handsOver: true }],
  ['resumeWithoutTouch', { handsOver: true }],
];

test.each(mistakes)('the model shows the mistake %s', (mistake, parts) => {
  const protocol = new Protocol({ ...PLAIN, ...parts }, { [mistake]: true });
  const { states, counterExample } = explore(protocol, { statesMax: STATES_MAX });
  expect(counterExample).not.toBeNull();
  console.log(`${mistake}, after ${states} states:\n${story(counterExample!)}`);
});

function story({ violation, labels }: { violation: string; labels: readonly string[] }): string {
  return [...labels, `=> ${violation}`].join('\n');
}
