/** Opens a cluster as its settings say: reads certificates and password, connects when first asked. */
import { open } from 'node:fs/promises';
import { isIP } from 'node:net';
import { checkServerIdentity, createSecureContext } from 'node:tls';
import type { Clock } from '../clock';
import { sentenceOf, TapdiskError } from '../errors';
import { BootClock } from './boot-clock';
import {
  type ClusterAccess,
  clusterAccess,
  type ClusterConfig,
  type Environment,
} from './cluster-config';
import { hostOf } from './endpoint';
import type { Security } from './connection';
import type { Etcd } from './etcd';
import { PASSWORD_BYTES_MAX, PEM_BYTES_MAX } from './limits';
import type { User } from './login';
import { Secret } from './secret';

/** What a test may put in the place of the real thing. */
export interface OpenSetting {
  readonly clock?: Clock;
  readonly firstMember?: number;
}

/**
 * @throws TapdiskError ETCD_CONFIG_INVALID, ETCD_FILE_UNREADABLE, ETCD_SECRET_EXPOSED,
 * ETCD_TLS_INVALID. That no member can be reached is told by the first call.
 */
export async function openEtcd(
  config: ClusterConfig,
  env: Environment = process.env,
  { clock = new BootClock(), firstMember }: OpenSetting = {},
): Promise<Etcd> {
  const access = clusterAccess(config, env);
  const [security, user] = await Promise.all([securityOf(access), userOf(access)]);
  const { endpoints, prefix, connectTimeoutMs } = access;
  return new (etcdCluster().EtcdCluster)({
    endpoints,
    prefix,
    security,
    user,
    connectTimeoutMs,
    clock,
    ...(firstMember === undefined ? {} : { firstMember }),
  });
}

/** Loads what opening a cluster takes. */
export function loadEtcdClient(): void {
  etcdCluster();
  grpc();
}

/* eslint-disable @typescript-eslint/no-require-imports -- an import would load gRPC and etcd's
   messages, a tenth of a second, in every command, and pools of one host need neither */
const etcdCluster = (): typeof import('./etcd-cluster') =>
  require('./etcd-cluster') as typeof import('./etcd-cluster');
const grpc = (): typeof import('@grpc/grpc-js') =>
  require('@grpc/grpc-js') as typeof import('@grpc/grpc-js');
/* eslint-enable @typescript-eslint/no-require-imports */

async function userOf({ user, password, passwordFile }: ClusterAccess): Promise<User | null> {
  if (user === null) return null;
  if (password !== null) return { name: user, password };
  const text = await readSecret(passwordFile!, PASSWORD_BYTES_MAX);
  return { name: user, password: new Secret(text.toString('utf8').replace(/\r?\n$/, '')) };
}

async function securityOf({
  endpoints,
  tls,
}: ClusterAccess): Promise<(endpoint: string) => Security> {
  const { credentials } = grpc();
  if (!endpoints[0].startsWith('https:')) {
    const security = { credentials: credentials.createInsecure(), tls: {} };
    return () => security;
  }
  const [ca, cert, key] = await Promise.all([
    tls.caFile === undefined ? null : readSmall(tls.caFile, PEM_BYTES_MAX),
    tls.certFile === undefined ? null : readSmall(tls.certFile, PEM_BYTES_MAX),
    tls.keyFile === undefined ? null : readSecret(tls.keyFile, PEM_BYTES_MAX),
  ]);
  const files = {
    ...(ca !== null && { ca }),
    ...(cert !== null && { cert }),
    ...(key !== null && { key }),
  };
  try {
    // gRPC itself would tell of bad files only when it connects, and as of the network.
    createSecureContext(files);
  } catch (cause) {
    throw new TapdiskError(
      'ETCD_TLS_INVALID',
      `the TLS files of the etcd cluster do not work (${sentenceOf(cause)}); check caFile, certFile and keyFile`,
      { cause },
    );
  }
  return (endpoint) => {
    const name = tls.serverName ?? hostOf(endpoint);
    const serverName = isIP(name) === 0 ? name : ASKED_OF_ADDRESSES;
    const checkIdentity: typeof checkServerIdentity = (_asked, certificate) =>
      checkServerIdentity(name, certificate);
    return {
      credentials: credentials.createSsl(ca, key, cert, { checkServerIdentity: checkIdentity }),
      serverName,
      tls: { ...files, servername: serverName, checkServerIdentity: checkIdentity },
    };
  };
}

/** TLS lets a client ask for a name only, not for an address (RFC 6066); the certificate tells. */
const ASKED_OF_ADDRESSES = 'etcd';

const OTHERS_BITS = 0o007;

/** A file that nobody but its owner and group may touch. */
function readSecret(path: string, bytesMax: number): Promise<Buffer> {
  return readSmall(path, bytesMax, (mode) => {
    if ((mode & OTHERS_BITS) === 0) return;
    throw new TapdiskError(
      'ETCD_SECRET_EXPOSED',
      `${path} is open to every user of this machine; chmod it to 600, and change what was in it`,
    );
  });
}

async function readSmall(
  path: string,
  bytesMax: number,
  checkMode: (mode: number) => void = () => undefined,
): Promise<Buffer> {
  try {
    const file = await open(path, 'r');
    try {
      const { mode, size } = await file.stat();
      checkMode(mode);
      if (size > bytesMax) throw new Error(`it has ${size} bytes, more than ${bytesMax}`);
      return await file.readFile();
    } finally {
      await file.close();
    }
  } catch (cause) {
    if (cause instanceof TapdiskError) throw cause;
    throw new TapdiskError(
      'ETCD_FILE_UNREADABLE',
      `${path}, which the etcd settings name, cannot be read: ${sentenceOf(cause)}`,
      { cause },
    );
  }
}
