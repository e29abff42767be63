/** The xenstore client on a double that speaks the wire protocol. */
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { openXenStore } from '../../lib/xenstore/open-xenstore';
import { encodeXsMessage, XS } from '../../lib/xenstore/wire';
import type { XenStore } from '../../lib/xenstore/xenstore';
import { XenStoreError } from '../../lib/xenstore/xenstore-error';
import { FakeXenstored } from './fake-xenstored';

let directory: string;
let fake: FakeXenstored;
const opened: XenStore[] = [];

beforeEach(async () => {
  directory = mkdtempSync(path.join(tmpdir(), 'tapdisk-ts-xenstore-'));
  fake = await FakeXenstored.listen(directory);
});

afterEach(async () => {
  for (const store of opened.splice(0)) store.close();
  await fake.close();
  rmSync(directory, { recursive: true, force: true });
});

async function open(
  options: { onLost?: (reason: XenStoreError) => void; answerTimeoutMs?: number } = {},
): Promise<XenStore> {
  const store = await openXenStore({ env: { XENSTORED_PATH: fake.path }, ...options });
  opened.push(store);
  return store;
}

async function refusal(work: Promise<unknown>): Promise<XenStoreError> {
  const error: unknown = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(XenStoreError);
  return error as XenStoreError;
}

/** Resolves when all that was sent before has been answered, events included. */
const settled = (store: XenStore): Promise<unknown> => store.read('/settled');

describe('nodes', () => {
  test('are written, read, listed and removed', async () => {
    const store = await open();
    expect(await store.read('/a/b')).toBeUndefined();
    expect(await store.list('/a')).toBeUndefined();
    await store.write('/a/b', 'größer');
    await store.mkdir('/a/c');
    await store.mkdir('/a/b');
    expect(await store.read('/a/b')).toBe('größer');
    expect(await store.read('/a/c')).toBe('');
    expect(await store.list('/a')).toEqual(['b', 'c']);
    expect(await store.list('/a/c')).toEqual([]);
    await store.remove('/a');
    await store.remove('/a');
    expect(await store.read('/a/b')).toBeUndefined();
  });

  test('relative paths are below this domain', async () => {
    const store = await open();
    await store.write('backend/vbd/5/51712/state', '2');
    expect(fake.read('/local/domain/0/backend/vbd/5/51712/state')).toBe('2');
  });

  test('keep their permissions', async () => {
    const store = await open();
    await store.write('/a', '');
    await store.setPermissions('/a', ['n0', 'r5']);
    expect(await store.permissions('/a')).toEqual(['n0', 'r5']);
    expect((await refusal(store.permissions('/b'))).errno).toBe('ENOENT');
  });

  test.each([1, 500, 3000])('a list of %i long names comes whole', async (count) => {
    const store = await open();
    const names = Array.from({ length: count }, (_, index) => `a-rather-long-name-${index}`);
    for (const name of names) fake.write(`/many/${name}`, '');
    expect(await store.list('/many')).toEqual(names);
  });

  test('a list that changes between its parts is begun anew', async () => {
    const store = await open();
    for (let index = 0; index < 1000; index++) fake.write(`/many/name-${index}`, '');
    const listed = store.list('/many');
    while ((fake.requests.get(XS.DIRECTORY_PART) ?? 0) < 2) await settled(store);
    fake.write('/many/another', '');
    expect((await listed)?.at(-1)).toBe('another');
    expect(new Set(await listed).size).toBe(1001);
  });
});

describe('what is not possible', () => {
  test('XENSTORE_REFUSED names the path and the errno', async () => {
    const store = await open();
    fake.refuse('/a', 'EACCES');
    const error = await refusal(store.write('/a', '1'));
    expect(error).toMatchObject({ code: 'XENSTORE_REFUSED', errno: 'EACCES' });
    expect(error.message).toBe('xenstore refuses to write /a (EACCES: permission denied).');
    expect((await refusal(store.read('/a'))).errno).toBe('EACCES');
  });

  test.each(['', 'a b', '/a/', '/a//b', `/${'x'.repeat(3072)}`, 'x'.repeat(2049), '/a\0b'])(
    'XENSTORE_PATH_REFUSED (%#)',
    async (at) => {
      const store = await open();
      expect((await refusal(store.read(at))).code).toBe('XENSTORE_PATH_REFUSED');
      expect((await refusal(store.watch(at, () => {}))).code).toBe('XENSTORE_PATH_REFUSED');
    },
  );

  test('XENSTORE_VALUE_TOO_LONG before it is sent', async () => {
    const store = await open();
    await store.write('/a', 'x'.repeat(4096 - 3));
    const error = await refusal(store.write('/a', 'x'.repeat(4096 - 2)));
    expect(error).toMatchObject({ code: 'XENSTORE_VALUE_TOO_LONG', errno: 'E2BIG' });
  });

  test('XENSTORE_TIMEOUT where no answer comes; a late one is dropped', async () => {
    const store = await open({ answerTimeoutMs: 30 });
    fake.hangs = true;
    expect((await refusal(store.read('/a'))).code).toBe('XENSTORE_TIMEOUT');
    fake.hangs = false;
    expect(await store.read('/a')).toBeUndefined();
  });

  test('XENSTORE_LOST for all that is pending and all that comes, told once', async () => {
    const reasons: XenStoreError[] = [];
    const store = await open({ onLost: (reason) => reasons.push(reason) });
    fake.hangs = true;
    const pending = [refusal(store.read('/a')), refusal(store.write('/b', ''))];
    await new Promise((resolve) => setImmediate(resolve));
    fake.dropClients();
    for (const error of await Promise.all(pending)) expect(error.code).toBe('XENSTORE_LOST');
    expect((await refusal(store.read('/a'))).code).toBe('XENSTORE_LOST');
    expect(reasons.map(({ code }) => code)).toEqual(['XENSTORE_LOST']);
    store.close();
    expect(reasons.length).toBe(1);
  });

  test('a close of ours rejects what is pending and is not told as a loss', async () => {
    const reasons: XenStoreError[] = [];
    const store = await open({ onLost: (reason) => reasons.push(reason) });
    fake.hangs = true;
    const pending = refusal(store.read('/a'));
    store.close();
    expect((await pending).code).toBe('XENSTORE_LOST');
    expect(reasons).toEqual([]);
  });

  test('XENSTORE_BUSY where thousands of requests wait', async () => {
    const store = await open();
    fake.hangs = true;
    const all = Promise.allSettled(Array.from({ length: 4100 }, () => store.read('/a')));
    await new Promise((resolve) => setImmediate(resolve));
    store.close();
    const codes = (await all).map((one) =>
      one.status === 'rejected' ? (one.reason as XenStoreError).code : 'answered',
    );
    expect(codes.filter((code) => code === 'XENSTORE_BUSY').length).toBe(4);
  });

  test('XENSTORE_UNAVAILABLE says what was tried', async () => {
    const nowhere = path.join(directory, 'nowhere');
    const error = await refusal(openXenStore({ env: { XENSTORED_PATH: nowhere } }));
    expect(error.code).toBe('XENSTORE_UNAVAILABLE');
    expect(error.message).toContain(`${nowhere}: ENOENT`);
  });

  test('a stream that is no xenstore ends the connection', async () => {
    const other = net.createServer((socket) => {
      const message = {
        type: XS.READ,
        requestId: 1,
        transactionId: 0,
        payload: Buffer.alloc(4097),
      };
      socket.write(encodeXsMessage(message));
    });
    const at = path.join(directory, 'other');
    await new Promise<void>((resolve) => other.listen(at, resolve));
    const lost = new Promise<XenStoreError>((resolve) => {
      void openXenStore({ env: { XENSTORED_PATH: at }, onLost: resolve });
    });
    expect((await lost).message).toContain('too long');
    await new Promise((resolve) => other.close(resolve));
  });
});

test('XENSTORED_RUNDIR is where the socket is looked for', async () => {
  const named = await FakeXenstored.listen(mkdtempSync(path.join(directory, 'run-')));
  const socket = path.join(path.dirname(named.path), 'socket');
  await named.close();
  const server = net.createServer().listen(socket);
  const connected = new Promise((resolve) => server.once('connection', resolve));
  const store = await openXenStore({ env: { XENSTORED_RUNDIR: path.dirname(socket) } });
  await connected;
  store.close();
  await new Promise((resolve) => server.close(resolve));
});

describe('transactions', () => {
  test('are seen by others as a whole, or not at all', async () => {
    const store = await open();
    await store.transaction(async (inside) => {
      await inside.write('/a', '1');
      expect(fake.read('/a')).toBeUndefined();
      expect(await inside.read('/a')).toBe('1');
      await inside.write('/b', '2');
    });
    expect([fake.read('/a'), fake.read('/b')]).toEqual(['1', '2']);
    const failed = store.transaction(async (inside) => {
      await inside.write('/a', '3');
      throw new Error('changed my mind');
    });
    await expect(failed).rejects.toThrow('changed my mind');
    expect(fake.read('/a')).toBe('1');
  });

  test('are done again where another came first', async () => {
    const store = await open();
    fake.write('/counter', '1');
    let tries = 0;
    const result = await store.transaction(async (inside) => {
      const counter = Number(await inside.read('/counter'));
      if (++tries < 3) fake.write('/counter', String(counter + 10));
      await inside.write('/counter', String(counter + 1));
      return counter;
    });
    expect([result, fake.read('/counter'), tries]).toEqual([21, '22', 3]);
  });

  test('do not meet their own changes', async () => {
    const store = await open();
    fake.write('/a/b', '1');
    let tries = 0;
    await store.transaction(async (inside) => {
      tries++;
      await inside.remove('/a/b');
      expect(await inside.list('/a')).toEqual([]);
      await inside.remove('/a');
    });
    expect([tries, fake.list('/')]).toEqual([1, []]);
  });

  test('XENSTORE_CONFLICT where another always comes first', async () => {
    const store = await open();
    let tries = 0;
    const error = await refusal(
      store.transaction(async (inside) => {
        await inside.read('/counter');
        fake.write('/counter', String(++tries));
      }),
    );
    expect(error).toMatchObject({ code: 'XENSTORE_CONFLICT', transient: true });
    expect(tries).toBe(32);
  });
});

describe('watches', () => {
  test('tell of their root first, then of changes at and below it', async () => {
    const store = await open();
    const changes: string[] = [];
    await store.watch('/a', (changed) => changes.push(changed));
    await settled(store);
    expect(changes).toEqual(['/a']);
    fake.write('/a', '1');
    fake.write('/a/b/c', '2');
    fake.write('/ab', '3');
    fake.remove('/a/b');
    await settled(store);
    expect(changes).toEqual(['/a', '/a', '/a/b/c', '/a/b']);
  });

  test('spell paths as they were asked', async () => {
    const store = await open();
    const changes: string[] = [];
    await store.watch('backend/vbd', (changed) => changes.push(changed));
    fake.write('/local/domain/0/backend/vbd/5/51712/state', '1');
    await settled(store);
    expect(changes).toEqual(['backend/vbd', 'backend/vbd/5/51712/state']);
  });

  test('tell that a node above theirs is gone', async () => {
    const store = await open();
    fake.write('/a/b/c', '1');
    const changes: string[] = [];
    await store.watch('/a/b', (changed) => changes.push(changed));
    fake.remove('/a');
    await settled(store);
    expect(changes).toEqual(['/a/b', '/a/b']);
  });

  test('two of one path are told apart, and one that is stopped is silent', async () => {
    const store = await open();
    const first: string[] = [];
    const second: string[] = [];
    const watch = await store.watch('/a', (changed) => first.push(changed));
    await store.watch('/a', (changed) => second.push(changed));
    await watch.stop();
    await settled(store);
    fake.write('/a/x', '');
    await settled(store);
    expect([first, second]).toEqual([['/a'], ['/a', '/a/x']]);
    expect(fake.watched).toEqual(['/a']);
  });

  test('tell of domains that come and go', async () => {
    const store = await open();
    const changes: string[] = [];
    await store.watch('@releaseDomain', (changed) => changes.push(changed));
    fake.introduceDomain(5);
    expect([await store.domainExists(5), await store.domainExists(6)]).toEqual([true, false]);
    fake.releaseDomain(5);
    expect(await store.domainExists(5)).toBe(false);
    expect(changes).toEqual(['@releaseDomain', '@releaseDomain']);
  });

  test('end with the connection, without an error for who stops them', async () => {
    const store = await open();
    const watch = await store.watch('/a', () => undefined);
    store.close();
    await watch.stop();
  });
});
