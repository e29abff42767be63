/** The shared memory of large requests: its limit, and whose turn it is. */
import type { Mapping } from '../../../native-bindings/mapping';
import { LargeAreas } from '../../../lib/frontend/nbd/large-areas';

const MIB = 1 << 20;
const never = (): void => {
  throw new Error('nobody waits');
};
const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function taken(areas: LargeAreas, length: number): Mapping {
  const area = areas.take(length, never);
  if (area === null) throw new Error('no area');
  return area;
}

test('areas are apart, zeroed at first, and large enough', () => {
  const areas = new LargeAreas(16 * MIB);
  const [a, b] = [taken(areas, 3 * MIB), taken(areas, 4 * MIB)];
  expect(a.bytes.length).toBeGreaterThanOrEqual(3 * MIB);
  a.bytes.fill(1);
  expect(b.bytes.every((byte) => byte === 0)).toBe(true);
  areas.give(a);
  areas.give(b);
  areas.close();
});

test('those for whom there is no room wait, and are called in turn', async () => {
  const areas = new LargeAreas(4 * MIB);
  const first = taken(areas, 4 * MIB);
  const got: string[] = [];
  const held: Mapping[] = [];
  const wanting = (name: string, length: number) => (): void => {
    const area = areas.take(length, wants[name]);
    if (area === null) return;
    got.push(name);
    held.push(area);
  };
  const wants: Record<string, () => void> = {
    a: wanting('a', 4 * MIB),
    b: wanting('b', MIB),
    c: wanting('c', MIB),
  };
  // Asking again changes nothing of the order.
  for (const name of ['a', 'b', 'c', 'a']) wants[name]();
  expect(got).toEqual([]);
  areas.give(first);
  await nextTurn();
  expect(got).toEqual(['a']);
  areas.give(held[0]);
  await nextTurn();
  expect(got).toEqual(['a', 'b', 'c']);
  for (const area of held.slice(1)) areas.give(area);
  areas.close();
});

test('one that goes away does not keep the others waiting', async () => {
  const areas = new LargeAreas(4 * MIB);
  const first = taken(areas, 2 * MIB);
  const gone = never;
  expect(areas.take(4 * MIB, gone)).toBeNull();
  const called = jest.fn();
  expect(areas.take(MIB, called)).toBeNull();
  areas.forget(gone);
  await nextTurn();
  expect(called).toHaveBeenCalledTimes(1);
  areas.give(first);
  areas.close();
});
