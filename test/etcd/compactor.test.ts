/** When history is forgotten, and what is kept. */
import { TapdiskError } from '../../lib/errors';
import { Compactor } from '../../lib/etcd/compactor';

function compactions() {
  const asked: number[] = [];
  let answer: () => Promise<void> = async () => undefined;
  const etcd = {
    compact: (revision: number): Promise<void> => {
      asked.push(revision);
      return answer();
    },
  };
  return { asked, etcd, answerWith: (next: () => Promise<void>) => (answer = next) };
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('one period of revisions is kept behind', async () => {
  const { asked, etcd } = compactions();
  const compactor = new Compactor(etcd, { afterRevisions: 10 });
  for (let revision = 1; revision <= 40; revision++) {
    compactor.written(1, revision);
    await settled();
  }
  expect(asked).toEqual([10, 20, 30]);
});

test('bytes end a period too', async () => {
  const { asked, etcd } = compactions();
  const compactor = new Compactor(etcd, { afterBytes: 1_000 });
  for (let revision = 1; revision <= 9; revision++) {
    compactor.written(400, revision);
    await settled();
  }
  expect(asked).toEqual([3, 6]);
});

test('what somebody reads is kept, for as long as it is read', async () => {
  const { asked, etcd } = compactions();
  const compactor = new Compactor(etcd, { afterRevisions: 1 });
  const letGo = compactor.hold(3);
  for (const revision of [5, 6, 7]) {
    compactor.written(1, revision);
    await settled();
  }
  expect(asked).toEqual([3, 3]);
  letGo();
  compactor.written(1, 8);
  expect(asked.at(-1)).toBe(7);
});

test('one compaction is under way at a time, and a failed one is told of and followed', async () => {
  const { asked, etcd, answerWith } = compactions();
  const failures: unknown[] = [];
  const compactor = new Compactor(etcd, {
    afterRevisions: 1,
    onFailed: (error) => failures.push(error),
  });
  let fail!: (error: Error) => void;
  answerWith(() => new Promise((_resolve, reject) => (fail = reject)));
  for (const revision of [1, 2, 3, 4]) compactor.written(1, revision);
  expect(asked).toEqual([1]);
  const error = new TapdiskError('ETCD_TIMEOUT', 'no answer', { transient: true });
  fail(error);
  await settled();
  expect(failures).toEqual([error]);
  compactor.written(1, 5);
  expect(asked).toEqual([1, 2]);
});

test('closing waits for what is under way, and begins nothing more', async () => {
  const { asked, etcd, answerWith } = compactions();
  const compactor = new Compactor(etcd, { afterRevisions: 1 });
  let finish!: () => void;
  answerWith(() => new Promise((resolve) => (finish = resolve)));
  compactor.written(1, 1);
  compactor.written(1, 2);
  let closed = false;
  const closing = compactor.close().then(() => (closed = true));
  await settled();
  expect(closed).toBe(false);
  finish();
  await closing;
  compactor.written(1, 3);
  compactor.written(1, 4);
  expect(asked).toEqual([1]);
});
