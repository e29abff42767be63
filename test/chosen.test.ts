/** What a user's names choose, and how a wrong one is refused. */
import { chosenCases } from './chosen';

const CASES = { races: 1, restart: 2, frozen: 3 };

test('no name chooses all, several choose those, in the table’s order', () => {
  expect(chosenCases(CASES, {})).toEqual(Object.entries(CASES));
  expect(chosenCases(CASES, { CASE: '' })).toEqual(Object.entries(CASES));
  expect(chosenCases(CASES, { CASE: ' frozen  races ' })).toEqual([
    ['races', 1],
    ['frozen', 3],
  ]);
});

test('a name that is none is refused with those there are', () => {
  const refused =
    (CASE: string): (() => unknown) =>
    () =>
      chosenCases(CASES, { CASE });
  expect(refused('races rases x')).toThrow('no case rases, x; there are races, restart, frozen');
  expect(refused('toString')).toThrow('no case toString; there are races, restart, frozen');
});
