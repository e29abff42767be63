/** What people read when a real etcd refuses: one sentence each, that names member and remedy. */
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { TapdiskError } from '../../lib/errors';
import type { ClusterConfig } from '../../lib/etcd/cluster-config';
import type { Etcd } from '../../lib/etcd/etcd';
import { openEtcd } from '../../lib/etcd/open-etcd';
import { Authority } from './certificates';
import { RealEtcd } from './real-etcd';
import { whereRealEtcd } from './require-real';
import { temporaryDirectory } from './temporary-directory';

jest.setTimeout(60_000);

const SETTING = { deadlineMs: 5_000 };
const PREFIX = '/refusals/';

async function refusal(etcd: Etcd, call?: (etcd: Etcd) => Promise<unknown>): Promise<TapdiskError> {
  const read = (): Promise<unknown> => etcd.range({ key: 'a' }, SETTING);
  try {
    await (call === undefined ? read() : call(etcd));
  } catch (error) {
    if (error instanceof TapdiskError) return error;
    throw error;
  } finally {
    await etcd.close();
  }
  throw new Error('nothing was refused');
}

const putting = (key: string, bytes: number) => (etcd: Etcd) =>
  etcd.transaction(
    { compare: [], success: [{ put: { key, value: Buffer.alloc(bytes, 1) } }] },
    SETTING,
  );

function expectSentence(error: TapdiskError, code: string, ...words: RegExp[]): void {
  expect(error).toMatchObject({ code, transient: false });
  for (const word of words) expect(error.message).toMatch(word);
  expect(error.message).not.toMatch(/\n|Error:|undefined/);
}

whereRealEtcd('certificates', () => {
  let authority: Authority;
  let cluster: RealEtcd;
  let tls: { caFile: string; certFile: string; keyFile: string };
  beforeAll(async () => {
    authority = new Authority(join(temporaryDirectory(), 'authority'));
    const client = authority.issue('client');
    tls = { caFile: authority.caFile, ...client };
    // The last member's certificate ran out.
    cluster = await RealEtcd.start({
      members: 3,
      tls: {
        caFile: authority.caFile,
        client,
        certificateOf: (index) => authority.issue('member', { valid: index !== 2 }),
      },
    });
  });
  afterAll(() => cluster.stop());

  const open = (change: Partial<ClusterConfig>, member: number | null = 0): Promise<Etcd> =>
    openEtcd(
      {
        endpoints: member === null ? cluster.endpoints : [cluster.endpoints[member]],
        prefix: PREFIX,
        tls,
        ...change,
      },
      {},
      { firstMember: member === null ? 2 : 0 },
    );

  test('that are right let in', async () => {
    const etcd = await open({});
    expect((await etcd.range({ key: 'a' }, SETTING)).count).toBe(0);
    await etcd.close();
  });

  test('of a member, expired', async () => {
    expectSentence(
      await refusal(await open({}, 2)),
      'ETCD_CERTIFICATE_REFUSED',
      /expired/,
      new RegExp(cluster.endpoints[2]),
    );
  });

  test('of one member, expired: the next call goes to another', async () => {
    const etcd = await open({}, null);
    const first = await etcd.range({ key: 'a' }, SETTING).catch((error: unknown) => error);
    expect(first).toMatchObject({ code: 'ETCD_CERTIFICATE_REFUSED', transient: true });
    expect((await etcd.range({ key: 'a' }, SETTING)).count).toBe(0);
    await etcd.close();
  });

  test('of an authority that is not known here', async () => {
    const { caFile } = new Authority(join(temporaryDirectory(), 'foreign'));
    const error = await refusal(await open({ tls: { ...tls, caFile } }));
    expectSentence(error, 'ETCD_CERTIFICATE_REFUSED', /certificate/, /TLS files/);
    const { certFile, keyFile } = tls;
    const none = await refusal(await open({ tls: { certFile, keyFile } }));
    expectSentence(none, 'ETCD_CERTIFICATE_REFUSED', /certificate/);
  });

  test('of another name than the endpoint’s', async () => {
    const error = await refusal(await open({ tls: { ...tls, serverName: 'elsewhere' } }));
    expectSentence(error, 'ETCD_CERTIFICATE_REFUSED', /elsewhere/);
    const etcd = await open({ tls: { ...tls, serverName: 'localhost' } });
    expect((await etcd.range({ key: 'a' }, SETTING)).count).toBe(0);
    await etcd.close();
  });

  test('of this host: none, a foreign one, an expired one', async () => {
    const foreign = new Authority(join(temporaryDirectory(), 'foreign')).issue('client');
    const expired = authority.issue('client', { valid: false });
    for (const own of [{}, foreign, expired]) {
      const error = await refusal(await open({ tls: { caFile: authority.caFile, ...own } }));
      expectSentence(error, 'ETCD_CERTIFICATE_REFUSED', /TLS files/);
    }
  });

  test('where http is spoken to https, and the other way round', async () => {
    const endpoints = [cluster.endpoints[0].replace('https', 'http')];
    const plain = await openEtcd({ endpoints, prefix: PREFIX }, {});
    // A member that wants TLS ends the connection without a word.
    expect(await refusal(plain)).toMatchObject({ code: 'ETCD_UNAVAILABLE' });
    const open = await RealEtcd.start();
    const secure = await openEtcd(
      { endpoints: [open.endpoints[0].replace('http', 'https')], prefix: PREFIX, tls },
      {},
    );
    expectSentence(await refusal(secure), 'ETCD_CERTIFICATE_REFUSED');
    await open.stop();
  });
});

whereRealEtcd('users', () => {
  let cluster: RealEtcd;
  let passwordFile: string;
  const withUser = (file = passwordFile, prefix = PREFIX): Promise<Etcd> =>
    openEtcd({ endpoints: cluster.endpoints, prefix, user: 'tapdisk', passwordFile: file }, {});
  const writePassword = (word: string): string => {
    const path = join(temporaryDirectory(), 'password');
    writeFileSync(path, word);
    chmodSync(path, 0o600);
    return path;
  };

  beforeAll(async () => {
    cluster = await RealEtcd.start();
    passwordFile = writePassword('swordfish');
    const before = await withUser();
    // Users are set up, and not asked for yet.
    await putting('early', 1)(before);
    await before.close();
    await cluster.addUser('tapdisk', 'swordfish', PREFIX);
  });
  afterAll(() => cluster.stop());

  test('with a wrong password', async () => {
    const error = await refusal(await withUser(writePassword('sardine')));
    expectSentence(error, 'ETCD_REFUSED', /passwordFile/, /authentication failed/);
    expect(error.message).not.toContain('sardine');
  });

  test('without any', async () => {
    const etcd = await openEtcd({ endpoints: cluster.endpoints, prefix: PREFIX }, {});
    expectSentence(await refusal(etcd), 'ETCD_REFUSED', /user name is empty/, /passwordFile/);
  });

  test('without a right to the prefix: reading, writing, watching', async () => {
    expectSentence(await refusal(await withUser(passwordFile, '/other/')), 'ETCD_REFUSED', /role/);
    const writing = await refusal(await withUser(passwordFile, '/other/'), putting('a', 1));
    expectSentence(writing, 'ETCD_REFUSED', /role/);
    const etcd = await withUser(passwordFile, '/other/');
    const ended = await new Promise<Error>((resolve) => {
      etcd.watch({ key: 'a' }, 1, { onEvents: () => undefined, onEnded: resolve });
    });
    expectSentence(ended as TapdiskError, 'ETCD_REFUSED', /role/);
    await etcd.close();
  });

  test('whose token a restarted member has forgotten get another', async () => {
    const etcd = await withUser();
    await putting('a', 1)(etcd);
    const [member] = cluster.members;
    await member.kill();
    member.start();
    // Reading needs a user now, so etcdctl cannot tell when the member serves.
    const endMs = Date.now() + 20_000;
    for (;;) {
      const error = await putting(
        'b',
        1,
      )(etcd).then(
        () => null,
        (reason: unknown) => reason as TapdiskError,
      );
      if (error === null) break;
      expect(error).toMatchObject({ transient: true });
      expect(Date.now()).toBeLessThan(endMs);
    }
    await etcd.close();
  });
});

whereRealEtcd('a full database', () => {
  test('refuses writes, is read, keeps leases, and takes writes when there is room again', async () => {
    const cluster = await RealEtcd.start({ quotaBytes: 16 * 1024 * 1024 });
    const etcd = await openEtcd({ endpoints: cluster.endpoints, prefix: PREFIX }, {});
    const lease = await etcd.grantLease(60_000, SETTING);
    let refused: unknown = null;
    for (let count = 0; refused === null && count < 100; count++) {
      refused = await putting(
        'same',
        1024 * 1024,
      )(etcd).then(
        () => null,
        (error: unknown) => error,
      );
    }
    expect(refused).toBeInstanceOf(TapdiskError);
    expectSentence(refused as TapdiskError, 'ETCD_NO_SPACE', /quota/, /alarm/);
    expect(await etcd.alarms(SETTING)).toMatchObject([{ alarm: 'NOSPACE' }]);
    const { revision, count } = await etcd.range({ key: 'same' }, SETTING);
    expect(count).toBe(1);
    expect(await etcd.keepAlive(lease.leaseId, SETTING)).toBe(lease.ttlMs);
    await etcd.compact(revision, SETTING);
    await cluster.etcdctl('defrag');
    await cluster.etcdctl('alarm', 'disarm');
    await putting('same', 1024)(etcd);
    await etcd.close();
    await cluster.stop();
  });
});
