/** Who may linger beside whom. */
import { LingerGate, type Lingerer } from '../../native-bindings/linger-gate';

function lingerer(gate: LingerGate): Lingerer & { left: number } {
  const made = {
    left: 0,
    leave() {
      made.left++;
      gate.left(made);
    },
  };
  return made;
}

test('one lingers at a time, and the next when it has left', () => {
  const gate = new LingerGate();
  const [first, second] = [lingerer(gate), lingerer(gate)];
  expect(gate.enter(first)).toBe(true);
  expect(gate.enter(second)).toBe(false);
  gate.left(second);
  expect(gate.enter(second)).toBe(false);
  first.leave();
  expect(gate.enter(second)).toBe(true);
});

test('whoever lingers leaves before a device is watched, and nobody lingers until it is forgotten', () => {
  const gate = new LingerGate();
  const only = lingerer(gate);
  gate.enter(only);
  gate.deviceWatched();
  expect(only.left).toBe(1);
  gate.deviceWatched();
  gate.deviceForgotten();
  expect(gate.enter(only)).toBe(false);
  gate.deviceForgotten();
  expect(gate.enter(only)).toBe(true);
});
