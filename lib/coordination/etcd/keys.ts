/** Which key holds what, below the cluster's prefix (docs/formats.md). */

export const POOL_KEY = 'pool';
export const LAYER_COUNTER_KEY = 'layer-counter';
export const VOLUMES_PREFIX = 'volumes/';
export const STATES_PREFIX = 'state/';
export const LOCKS_PREFIX = 'attach/';
export const READERS_PREFIX = 'readers/';
export const STANDBYS_PREFIX = 'standbys/';
export const HOSTS_PREFIX = 'hosts/';
export const MAPS_PREFIX = 'map/';
export const DELETIONS_PREFIX = 'deletions/';

export const volumeKey = (name: string): string => `${VOLUMES_PREFIX}${name}`;
export const stateKey = (uuid: string): string => `${STATES_PREFIX}${uuid}`;
export const lockKey = (uuid: string): string => `${LOCKS_PREFIX}${uuid}`;
export const readersPrefix = (uuid: string): string => `${READERS_PREFIX}${uuid}/`;
export const readerKey = (uuid: string, token: string): string => `${readersPrefix(uuid)}${token}`;
export const standbysPrefix = (uuid: string): string => `${STANDBYS_PREFIX}${uuid}/`;
export const standbyKey = (uuid: string, token: string): string =>
  `${standbysPrefix(uuid)}${token}`;
/** A host's name is an admin's choice, and may hold anything. */
export const presenceKey = (host: string, token: string): string =>
  `${HOSTS_PREFIX}${encodeURIComponent(host)}/${token}`;
export const mapPrefix = (uuid: string): string => `${MAPS_PREFIX}${uuid}/`;
export const mapPageKey = (uuid: string, pageIndex: number): string =>
  `${mapPrefix(uuid)}${pageIndex.toString(16).padStart(8, '0')}`;
export const deletionKey = (uuid: string): string => `${DELETIONS_PREFIX}${uuid}`;

/** The page that a key of `mapPrefix` is of; NaN where nobody of this project wrote it. */
export function mapPageIndexOf(key: string, uuid: string): number {
  const digits = key.slice(mapPrefix(uuid).length);
  return /^[0-9a-f]{8}$/.test(digits) ? parseInt(digits, 16) : NaN;
}

/** The first key after this one. */
export const keyAfter = (key: string): string => `${key}\0`;
