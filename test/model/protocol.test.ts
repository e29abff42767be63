/** The protocol holds in every state that its model can come to, and the model shows mistakes. */
import { explore } from './explore';
import { Protocol, type Scope } from './protocol';

const STATES_MAX = 3_000_000;
const NOTHING: Scope = { steals: false, handsOver: false, kills: false };

const scopes: [string, Scope][] = [
  ['nothing but the network goes wrong', NOTHING],
  ['processes are killed', { ...NOTHING, kills: true }],
  ['operators steal', { ...NOTHING, steals: true }],
  ['one stands by', { ...NOTHING, handsOver: true }],
];

test.each(scopes)('where %s', (name, scope) => {
  const begin = performance.now();
  const { states, steps, depth, counterExample } = explore(new Protocol(scope), STATES_MAX);
  console.log(name, states, steps, depth, Math.round(performance.now() - begin), counterExample);
  expect(counterExample).toBeNull();
});
