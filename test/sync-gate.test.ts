/** Flushes share syncs, but never one that began before them. */
import { SyncGate } from '../lib/sync-gate';

class ManualSync {
  readonly running: ((errno: number) => void)[] = [];
  begun = 0;
  batches = 0;
  readonly gate = new SyncGate(
    (done) => {
      this.begun++;
      this.running.push(done);
    },
    () => this.batches++,
  );

  end(errno = 0): void {
    expect(this.running).toHaveLength(1);
    this.running.pop()?.(errno);
  }
}

test('flushes that come during a sync wait for the next one, and share it', () => {
  const sync = new ManualSync();
  const ended: string[] = [];
  sync.gate.flush(() => ended.push('first'));
  sync.gate.flush(() => ended.push('second'));
  sync.gate.flush(() => ended.push('third'));
  expect(sync.begun).toBe(1);
  sync.end();
  expect(ended).toEqual(['first']);
  sync.end();
  expect(ended).toEqual(['first', 'second', 'third']);
  expect(sync.begun).toBe(2);
  expect(sync.batches).toBe(2);
});

test('each round has the errno of its own sync', () => {
  const sync = new ManualSync();
  const errnos: number[] = [];
  sync.gate.flush((errno) => errnos.push(errno));
  sync.gate.flush((errno) => errnos.push(errno));
  sync.end(5);
  sync.end(0);
  expect(errnos).toEqual([5, 0]);
});

test('flushes that come from the callbacks of a round never have two syncs run at once', () => {
  const sync = new ManualSync();
  const ended: string[] = [];
  const flushAgain = (name: string): void => {
    sync.gate.flush(() => {
      ended.push(name);
      sync.gate.flush(() => ended.push(`${name} again`));
    });
  };
  sync.gate.flush(() => {});
  flushAgain('a');
  flushAgain('b');
  sync.end();
  sync.end();
  expect(ended).toEqual(['a', 'b']);
  sync.end();
  expect(ended).toEqual(['a', 'b', 'a again', 'b again']);
});
