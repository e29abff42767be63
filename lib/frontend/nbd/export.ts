/** What an NBD server offers: block devices by name. */
import type { WatchReadable } from '../../../native-bindings/watch';
import { SECTOR_BYTES } from '../../sector';
import type { BlockAllocation } from '../../vbd/block-allocation';
import type { BlockDevice } from '../../vbd/block-device';
import {
  FLAG_CAN_MULTI_CONN,
  FLAG_HAS_FLAGS,
  FLAG_READ_ONLY,
  FLAG_SEND_CACHE,
  FLAG_SEND_DF,
  FLAG_SEND_FAST_ZERO,
  FLAG_SEND_FLUSH,
  FLAG_SEND_FUA,
  FLAG_SEND_TRIM,
  FLAG_SEND_WRITE_ZEROES,
} from './protocol';

/** One export. Its connections share the device, so a flush on one covers the writes of all. */
export interface NbdExport {
  /** What clients ask for; at most 256 bytes of UTF-8. */
  readonly name: string;
  /** For people, or empty. */
  readonly description: string;
  readonly device: BlockDevice & BlockAllocation;
  /**
   * Watches the sockets of its clients where its store's completions are waited for, so that one
   * wait serves both. As any file is watched where it is not given.
   */
  readonly watchReadable?: WatchReadable | undefined;
}

export function exportBytes({ device }: NbdExport): number {
  return device.sectors * SECTOR_BYTES;
}

/** NBD's transmission flags: what a client may ask of this export. */
export function transmissionFlags({ device }: NbdExport, structured: boolean): number {
  let flags = FLAG_HAS_FLAGS | FLAG_SEND_FLUSH | FLAG_SEND_FUA | FLAG_CAN_MULTI_CONN;
  flags |= FLAG_SEND_CACHE;
  if (structured) flags |= FLAG_SEND_DF;
  if (device.readOnly) return flags | FLAG_READ_ONLY;
  return flags | FLAG_SEND_TRIM | FLAG_SEND_WRITE_ZEROES | FLAG_SEND_FAST_ZERO;
}

/** The export of that name; the empty name is the only export there is, where there is one. */
export function findExport(exports: readonly NbdExport[], name: string): NbdExport | null {
  if (name === '') return exports.length === 1 ? exports[0] : null;
  return exports.find((offered) => offered.name === name) ?? null;
}
