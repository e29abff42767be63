/** How a pool's etcd cluster is reached: the settings, and what the environment puts in their place. */
import { z } from 'zod/v3';
import { TapdiskError } from '../errors';
import { integer } from '../integer';
import {
  CONNECT_TIMEOUT_MS_DEFAULT,
  CONNECT_TIMEOUT_MS_MAX,
  CONNECT_TIMEOUT_MS_MIN,
  ENDPOINTS_MAX,
  PREFIX_BYTES_MAX,
} from './limits';
import { Secret } from './secret';

const absolutePath = z.string().regex(/^\//, 'is no absolute path');

const endpoint = z.string().refine(isEndpoint, 'is no URL like http://host:2379');

const tlsSchema = z
  .strictObject({
    /** Certificates of the authorities that may sign a member's; the system's without it. */
    caFile: absolutePath.optional(),
    certFile: absolutePath.optional(),
    keyFile: absolutePath.optional(),
    /** The name in the members' certificates, where it is not the endpoint's. */
    serverName: z.string().min(1).max(253).optional(),
  })
  .refine(
    ({ certFile, keyFile }) => (certFile === undefined) === (keyFile === undefined),
    'certFile and keyFile belong together',
  );

/** As it stands in a pool's config file (docs/formats.md). No secret is in it, only files' names. */
export const clusterConfigSchema = z
  .strictObject({
    endpoints: z.array(endpoint).min(1).max(ENDPOINTS_MAX),
    prefix: z
      .string()
      .max(PREFIX_BYTES_MAX)
      .regex(
        /^\/(?:[A-Za-z0-9][A-Za-z0-9+_.-]*\/)+$/,
        'is no prefix like /tapdisk-ts/main/: letters, digits and + _ . - between slashes',
      ),
    tls: tlsSchema.optional(),
    user: z.string().min(1).max(255).optional(),
    passwordFile: absolutePath.optional(),
    connectTimeoutMs: integer.min(CONNECT_TIMEOUT_MS_MIN).max(CONNECT_TIMEOUT_MS_MAX).optional(),
  })
  .superRefine((config, context) => {
    const fault = faultOf(config);
    if (fault !== null) context.addIssue({ code: 'custom', message: fault });
  });

export type ClusterConfig = Readonly<z.infer<typeof clusterConfigSchema>>;

/** What is connected with: the config, with the environment's settings in the place of its own. */
export interface ClusterAccess {
  readonly endpoints: readonly string[];
  readonly prefix: string;
  readonly tls: NonNullable<ClusterConfig['tls']>;
  readonly user: string | null;
  /** From the environment itself; without it, the file's. */
  readonly password: Secret | null;
  readonly passwordFile: string | null;
  readonly connectTimeoutMs: number;
}

export type Environment = Readonly<Record<string, string | undefined>>;

/** @throws TapdiskError ETCD_CONFIG_INVALID */
export function clusterAccess(config: ClusterConfig, env: Environment): ClusterAccess {
  const password = set(env.TAPDISK_TS_ETCD_PASSWORD);
  const merged = checked({
    ...config,
    ...given('endpoints', set(env.TAPDISK_TS_ETCD_ENDPOINTS)?.split(',')),
    ...given('user', set(env.TAPDISK_TS_ETCD_USER)),
    ...given('passwordFile', set(env.TAPDISK_TS_ETCD_PASSWORD_FILE)),
    ...given('tls', tlsOf(config.tls, env)),
    // Which of both holds is decided below; here it only must not count as missing.
    ...(password === undefined ? {} : given('passwordFile', config.passwordFile ?? '/')),
  });
  return {
    endpoints: merged.endpoints.map((url) => url.replace(/\/$/, '')),
    prefix: merged.prefix,
    tls: merged.tls ?? {},
    user: merged.user ?? null,
    password: password === undefined ? null : new Secret(password),
    passwordFile: password === undefined ? (merged.passwordFile ?? null) : null,
    connectTimeoutMs: merged.connectTimeoutMs ?? CONNECT_TIMEOUT_MS_DEFAULT,
  };
}

function tlsOf(tls: ClusterConfig['tls'], env: Environment): ClusterConfig['tls'] {
  const merged = {
    ...tls,
    ...given('caFile', set(env.TAPDISK_TS_ETCD_CA)),
    ...given('certFile', set(env.TAPDISK_TS_ETCD_CERT)),
    ...given('keyFile', set(env.TAPDISK_TS_ETCD_KEY)),
  };
  return Object.keys(merged).length === 0 ? undefined : merged;
}

function checked(config: unknown): ClusterConfig {
  const result = clusterConfigSchema.safeParse(config);
  if (result.success) return result.data;
  const [{ path, message }] = result.error.issues;
  const where = path.length === 0 ? '' : `"${path.join('.')}" `;
  throw new TapdiskError(
    'ETCD_CONFIG_INVALID',
    `the settings of the etcd cluster are wrong: ${where}${message}; correct the pool's config, or the TAPDISK_TS_ETCD_ variable`,
  );
}

/** What no single setting shows. */
function faultOf(config: {
  endpoints: string[];
  tls?: unknown;
  user?: string | undefined;
  passwordFile?: string | undefined;
}): string | null {
  const { endpoints, tls, user, passwordFile } = config;
  const secure = endpoints.filter((url) => url.startsWith('https:')).length;
  if (secure > 0 && secure < endpoints.length) return 'endpoints are either all http or all https';
  if (secure === 0 && tls !== undefined) return 'tls is given, and the endpoints are http';
  const hosts = endpoints.filter(isEndpoint).map((url) => new URL(url).host);
  if (new Set(hosts).size < hosts.length) return 'an endpoint is named twice';
  if (user !== undefined && passwordFile === undefined) return 'user is given without passwordFile';
  if (user === undefined && passwordFile !== undefined) return 'passwordFile is given without user';
  return null;
}

function isEndpoint(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, hostname, pathname, search, hash, username, password } = new URL(text);
  return (
    (protocol === 'http:' || protocol === 'https:') &&
    hostname !== '' &&
    pathname === '/' &&
    search + hash + username + password === ''
  );
}

/** An empty variable is as good as none. */
const set = (value: string | undefined): string | undefined => (value === '' ? undefined : value);

function given<Name extends string, Value>(
  name: Name,
  value: Value | undefined,
): Partial<Record<Name, Value>> {
  return value === undefined ? {} : ({ [name]: value } as Record<Name, Value>);
}
