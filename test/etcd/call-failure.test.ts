/** What gRPC and etcd say, in this project's words. */
import { status } from '@grpc/grpc-js';
import { TapdiskError } from '../../lib/errors';
import {
  type Blame,
  callFailure,
  connectFailure,
  isLoginOff,
  isTokenStale,
  timedOut,
} from '../../lib/etcd/call-failure';

const AT = 'http://10.0.0.1:2379';
const grpc = (code: number, details: string): Error =>
  Object.assign(new Error(`${code} ${details}`), { code, details });
const noConnection = (reason: string): Error =>
  grpc(
    status.UNAVAILABLE,
    `No connection established. Last error: Error: ${reason} (2024-01-01T00:00:00.000Z). Resolution note: `,
  );

test.each<[string, Error, string, boolean, Blame]>([
  ['a closed port', connectFailure('connect ECONNREFUSED'), 'ETCD_UNAVAILABLE', true, 'connection'],
  ['a lost connection', grpc(14, 'Connection dropped'), 'ETCD_UNAVAILABLE', true, 'connection'],
  [
    'gRPC’s own words',
    noConnection('connect EHOSTUNREACH'),
    'ETCD_UNAVAILABLE',
    true,
    'connection',
  ],
  [
    'a closed channel',
    new Error('Channel has been shut down'),
    'ETCD_UNAVAILABLE',
    true,
    'connection',
  ],
  ['no leader', grpc(14, 'etcdserver: no leader'), 'ETCD_UNAVAILABLE', true, 'member'],
  ['no quorum', grpc(14, 'etcdserver: request timed out'), 'ETCD_UNAVAILABLE', true, 'member'],
  ['an end', grpc(14, 'etcdserver: server stopped'), 'ETCD_UNAVAILABLE', true, 'member'],
  ['overload', grpc(8, 'etcdserver: too many requests'), 'ETCD_UNAVAILABLE', true, 'member'],
  ['a dropped proposal', grpc(2, 'raft proposal dropped'), 'ETCD_UNAVAILABLE', true, 'member'],
  [
    'a reset stream',
    grpc(13, 'Received RST_STREAM with code 2'),
    'ETCD_UNAVAILABLE',
    true,
    'member',
  ],
  ['its own deadline', grpc(4, 'context deadline exceeded'), 'ETCD_TIMEOUT', true, 'member'],
  [
    'a full database',
    grpc(8, 'etcdserver: mvcc: database space exceeded'),
    'ETCD_NO_SPACE',
    false,
    'nothing',
  ],
  [
    'a large request',
    grpc(3, 'etcdserver: request is too large'),
    'ETCD_TOO_LARGE',
    false,
    'nothing',
  ],
  [
    'many operations',
    grpc(3, 'etcdserver: too many operations in txn request'),
    'ETCD_TOO_LARGE',
    false,
    'nothing',
  ],
  [
    'a large reply',
    grpc(8, 'Received message larger than max (9 vs 4)'),
    'ETCD_TOO_LARGE',
    false,
    'nothing',
  ],
  [
    'a lease that is gone',
    grpc(5, 'etcdserver: requested lease not found'),
    'ETCD_LEASE_NOT_FOUND',
    false,
    'nothing',
  ],
  [
    'history that is gone',
    grpc(11, 'etcdserver: mvcc: required revision has been compacted'),
    'ETCD_COMPACTED',
    false,
    'nothing',
  ],
  [
    'a wrong password',
    grpc(3, 'etcdserver: authentication failed, invalid user ID or password'),
    'ETCD_REFUSED',
    false,
    'nothing',
  ],
  ['no user at all', grpc(3, 'etcdserver: user name is empty'), 'ETCD_REFUSED', false, 'nothing'],
  ['a foreign key', grpc(7, 'etcdserver: permission denied'), 'ETCD_REFUSED', false, 'nothing'],
  ['another program', grpc(12, 'unknown service etcdserverpb.KV'), 'ETCD_FAILED', false, 'nothing'],
  [
    'an old certificate',
    noConnection('certificate has expired'),
    'ETCD_CERTIFICATE_REFUSED',
    false,
    'certificate',
  ],
  [
    'a foreign authority',
    noConnection('unable to verify the first certificate'),
    'ETCD_CERTIFICATE_REFUSED',
    false,
    'certificate',
  ],
  [
    'a name that is not its own',
    noConnection("Hostname/IP does not match certificate's altnames"),
    'ETCD_CERTIFICATE_REFUSED',
    false,
    'certificate',
  ],
  [
    'http where https is asked for',
    noConnection('ssl3_get_record:wrong version number'),
    'ETCD_CERTIFICATE_REFUSED',
    false,
    'certificate',
  ],
])('%s', (_name, error, code, transient, blame) => {
  const failure = callFailure(error, AT);
  expect(failure.error).toMatchObject({ code, transient });
  expect(failure.blame).toBe(blame);
  expect(failure.error.message).toContain(AT);
  expect(failure.error.message).not.toMatch(/\n|etcdserver:|Resolution note/);
});

test('a refusal says whether user or role is to be mended', () => {
  const login = callFailure(grpc(3, 'etcdserver: authentication failed'), AT).error.message;
  expect(login).toContain('passwordFile');
  const role = callFailure(grpc(7, 'etcdserver: permission denied'), AT).error.message;
  expect(role).toContain('role');
});

test('what has its own words keeps them', () => {
  const error = timedOut(AT, 250.4);
  expect(callFailure(error, 'elsewhere')).toEqual({ error, blame: 'nothing' });
  expect(error).toMatchObject({ code: 'ETCD_TIMEOUT', transient: true });
  expect(error.message).toContain('within 250 ms');
  expect(error).toBeInstanceOf(TapdiskError);
});

test('a token may be stale, and logging in may be off', () => {
  expect(isTokenStale(grpc(16, 'etcdserver: invalid auth token'))).toBe(true);
  expect(isTokenStale(grpc(3, 'etcdserver: revision of auth store is old'))).toBe(true);
  expect(isTokenStale(grpc(7, 'etcdserver: permission denied'))).toBe(false);
  expect(isLoginOff(grpc(9, 'etcdserver: authentication is not enabled'))).toBe(true);
  expect(isLoginOff(new Error('other'))).toBe(false);
});
