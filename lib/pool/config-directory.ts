/** Where the pools that this user has told of are kept: one JSON file a pool. */
import { homedir } from 'node:os';
import { join } from 'node:path';

/** `TAPDISK_TS_CONFIG_DIR`, else /etc/tapdisk-ts for root, else the user's XDG directory. */
export function poolsDirectory(
  env: Readonly<Record<string, string | undefined>> = process.env,
  uid: number = process.geteuid!(),
): string {
  const configured = env.TAPDISK_TS_CONFIG_DIR;
  if (configured) return join(configured, 'pools.d');
  if (uid === 0) return '/etc/tapdisk-ts/pools.d';
  // The XDG base directory specification: a relative path there is to be ignored.
  const xdg = env.XDG_CONFIG_HOME;
  const base = xdg?.startsWith('/') ? xdg : join(env.HOME || homedir(), '.config');
  return join(base, 'tapdisk-ts', 'pools.d');
}
