/** The settings of a cluster: what is taken, what is refused, and that no secret shows. */
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inspect } from 'node:util';
import {
  clusterAccess,
  type ClusterConfig,
  clusterConfigSchema,
} from '../../lib/etcd/cluster-config';
import { TapdiskError } from '../../lib/errors';
import { openEtcd } from '../../lib/etcd/open-etcd';
import { temporaryDirectory } from './temporary-directory';

const plain: ClusterConfig = { endpoints: ['http://10.0.0.1:2379'], prefix: '/tapdisk-ts/main/' };
const secure: ClusterConfig = {
  ...plain,
  endpoints: ['https://a:2379', 'https://b:2379'],
  tls: { caFile: '/ca.pem' },
};

describe('the schema', () => {
  test.each<[string, object]>([
    ['one member', plain],
    ['IPv6', { ...plain, endpoints: ['http://[::1]:2379'] }],
    ['no port, and a last slash', { ...plain, endpoints: ['http://etcd.example/'] }],
    ['TLS', secure],
    ['client certificates', { ...secure, tls: { certFile: '/c.pem', keyFile: '/k.pem' } }],
    ['https with the authorities of the system', { ...secure, tls: undefined }],
    ['a user', { ...plain, user: 'tapdisk', passwordFile: '/etc/tapdisk-ts/password' }],
  ])('takes %s', (_name, config) => {
    expect(clusterConfigSchema.safeParse(config).error).toBeUndefined();
  });

  test.each<[string, object, string]>([
    ['no member', { endpoints: [] }, 'endpoints'],
    [
      'ten members',
      { endpoints: Array.from({ length: 10 }, (_, i) => `http://h${i}:1`) },
      'endpoints',
    ],
    ['a host without a scheme', { endpoints: ['10.0.0.1:2379'] }, 'no URL'],
    ['a path', { endpoints: ['http://a:2379/v3'] }, 'no URL'],
    ['a password in a URL', { endpoints: ['http://me:secret@a:2379'] }, 'no URL'],
    ['http and https', { endpoints: ['http://a:1', 'https://b:1'] }, 'all http or all https'],
    ['a member twice', { endpoints: ['http://a:1', 'http://a:1/'] }, 'twice'],
    ['a prefix without its end', { prefix: '/main' }, 'prefix'],
    ['the whole of etcd', { prefix: '/' }, 'prefix'],
    ['an empty part', { prefix: '/a//b/' }, 'prefix'],
    ['TLS files with http', { tls: { caFile: '/ca.pem' } }, 'tls'],
    [
      'a key without certificate',
      { endpoints: ['https://a:1'], tls: { keyFile: '/k' } },
      'together',
    ],
    ['a relative path', { endpoints: ['https://a:1'], tls: { caFile: 'ca.pem' } }, 'absolute'],
    ['a user without password', { user: 'tapdisk' }, 'passwordFile'],
    ['a password without user', { passwordFile: '/p' }, 'user'],
    ['a password', { user: 'tapdisk', password: 'secret' }, 'password'],
    ['what it does not know', { retries: 3 }, 'retries'],
  ])('refuses %s', (_name, change, hint) => {
    const { error } = clusterConfigSchema.safeParse({ ...plain, ...change });
    expect(JSON.stringify(error?.issues)).toContain(hint);
  });
});

describe('the environment', () => {
  test('replaces what it names', () => {
    const access = clusterAccess(plain, {
      TAPDISK_TS_ETCD_ENDPOINTS: 'https://c:2379,https://d:2379/',
      TAPDISK_TS_ETCD_USER: 'other',
      TAPDISK_TS_ETCD_PASSWORD_FILE: '/run/password',
      TAPDISK_TS_ETCD_CA: '/run/ca.pem',
      TAPDISK_TS_ETCD_CERT: '/run/cert.pem',
      TAPDISK_TS_ETCD_KEY: '/run/key.pem',
    });
    expect(access).toEqual({
      endpoints: ['https://c:2379', 'https://d:2379'],
      prefix: '/tapdisk-ts/main/',
      user: 'other',
      password: null,
      passwordFile: '/run/password',
      tls: { caFile: '/run/ca.pem', certFile: '/run/cert.pem', keyFile: '/run/key.pem' },
      connectTimeoutMs: 1_000,
    });
  });

  test('keeps the rest, and empty variables say nothing', () => {
    const access = clusterAccess(secure, { TAPDISK_TS_ETCD_ENDPOINTS: '', TAPDISK_TS_ETCD_CA: '' });
    expect(access).toMatchObject({ endpoints: secure.endpoints, tls: secure.tls, user: null });
  });

  test('is checked as the config is, in one sentence', () => {
    expect(() => clusterAccess(plain, { TAPDISK_TS_ETCD_ENDPOINTS: 'nonsense' })).toThrow(
      new TapdiskError(
        'ETCD_CONFIG_INVALID',
        'the settings of the etcd cluster are wrong: "endpoints.0" is no URL like http://host:2379; correct the pool\'s config, or the TAPDISK_TS_ETCD_ variable',
      ),
    );
    expect(() => clusterAccess(plain, { TAPDISK_TS_ETCD_USER: 'me' })).toThrow('passwordFile');
  });

  test('may hold the password, which shows nowhere', () => {
    const env = { TAPDISK_TS_ETCD_USER: 'me', TAPDISK_TS_ETCD_PASSWORD: 'swordfish' };
    const access = clusterAccess({ ...plain, user: 'x', passwordFile: '/p' }, env);
    expect(access).toMatchObject({ user: 'me', passwordFile: null });
    expect(access.password!.reveal()).toBe('swordfish');
    for (const shown of [
      inspect(access, { depth: 9, showHidden: true }),
      JSON.stringify(access),
      `${String(access.password)}`,
    ]) {
      expect(shown).not.toContain('swordfish');
      expect(shown).toContain('***');
    }
  });
});

describe('the files', () => {
  const directory = temporaryDirectory();
  const file = (name: string, content: string, mode: number): string => {
    const path = join(directory, name);
    writeFileSync(path, content);
    chmodSync(path, mode);
    return path;
  };
  const withPassword = (passwordFile: string) =>
    openEtcd({ ...plain, user: 'me', passwordFile }, {});

  test('a password that all may read is refused', async () => {
    for (const mode of [0o644, 0o602]) {
      const path = file('open', 'swordfish', mode);
      await expect(withPassword(path)).rejects.toMatchObject({
        code: 'ETCD_SECRET_EXPOSED',
        message: `${path} is open to every user of this machine; chmod it to 600, and change what was in it`,
      });
    }
    await (await withPassword(file('closed', 'swordfish\n', 0o640))).close();
  });

  test('a file that is missing or too long is named', async () => {
    for (const path of [join(directory, 'none'), file('long', 'x'.repeat(2_000), 0o600)]) {
      const rejected = expect(withPassword(path)).rejects;
      await rejected.toMatchObject({
        code: 'ETCD_FILE_UNREADABLE',
        message: expect.stringContaining(path) as string,
      });
    }
  });

  test('what is no certificate is told before anything is connected', async () => {
    const certFile = file('cert', 'no certificate', 0o600);
    const keyFile = file('key', 'no key', 0o600);
    const config = { ...secure, tls: { certFile, keyFile } };
    await expect(openEtcd(config, {})).rejects.toMatchObject({ code: 'ETCD_TLS_INVALID' });
  });
});
