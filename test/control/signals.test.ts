import { handleSignals } from '../../lib/control/signals';
import { silentLog } from '../../lib/control/log';

function handled(openDisks: number) {
  const ends: string[] = [];
  let closed: () => void = () => undefined;
  let closes = 0;
  const remove = handleSignals({
    openDisks: () => openDisks,
    closeAll: () => {
      closes += 1;
      return new Promise<void>((resolve) => (closed = resolve));
    },
    end: (reason) => ends.push(reason),
    log: silentLog,
  });
  cleanups.push(remove);
  return { ends, finish: () => closed(), closes: () => closes };
}

const cleanups: (() => void)[] = [];
afterEach(() => cleanups.splice(0).forEach((cleanup) => cleanup()));

test('SIGTERM closes everything once and then ends', async () => {
  const { ends, finish, closes } = handled(2);
  process.emit('SIGTERM');
  process.emit('SIGTERM');
  expect(closes()).toBe(1);
  expect(ends).toEqual([]);
  finish();
  await new Promise(setImmediate);
  expect(ends).toEqual(['SIGTERM']);
});

test('SIGINT ends a process that holds no disk', () => {
  const { ends } = handled(0);
  process.emit('SIGINT');
  expect(ends).toEqual(['SIGINT']);
});

test('SIGINT does not take a disk from a guest', () => {
  const { ends, closes } = handled(1);
  process.emit('SIGINT');
  expect(ends).toEqual([]);
  expect(closes()).toBe(0);
});
