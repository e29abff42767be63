/** Decodes a request's header, and says what is wrong with it before anything is done for it. */
import { SECTOR_BYTES } from '../../sector';
import { PAYLOAD_BYTES_MAX } from './limits';
import {
  CMD_BLOCK_STATUS,
  CMD_CACHE,
  CMD_FLAG_DF,
  CMD_FLAG_FAST_ZERO,
  CMD_FLAG_FUA,
  CMD_FLAG_NO_HOLE,
  CMD_FLAG_REQ_ONE,
  CMD_FLUSH,
  CMD_READ,
  CMD_TRIM,
  CMD_WRITE,
  CMD_WRITE_ZEROES,
  HALF,
  NBD_EINVAL,
  NBD_ENOSPC,
  NBD_ENOTSUP,
  NBD_EOVERFLOW,
  NBD_EPERM,
  NBD_OK,
} from './protocol';

/** One header, decoded into the same object again and again. */
export class RequestHeader {
  magic = 0;
  flags = 0;
  command = 0;
  cookieHigh = 0;
  cookieLow = 0;
  /** Bytes; beyond 2^53 it is not exact, and refused for that. */
  offset = 0;
  length = 0;

  decode(from: Buffer, at: number): void {
    this.magic = from.readUInt32BE(at);
    this.flags = from.readUInt16BE(at + 4);
    this.command = from.readUInt16BE(at + 6);
    this.cookieHigh = from.readUInt32BE(at + 8);
    this.cookieLow = from.readUInt32BE(at + 12);
    this.offset = from.readUInt32BE(at + 16) * HALF + from.readUInt32BE(at + 20);
    this.length = from.readUInt32BE(at + 24);
  }
}

/** Command flags that proto.md allows, by command; clients are known to set FUA on any. */
const FLAGS_ALLOWED: Readonly<Record<number, number>> = {
  [CMD_READ]: CMD_FLAG_FUA | CMD_FLAG_DF,
  [CMD_WRITE]: CMD_FLAG_FUA,
  [CMD_FLUSH]: CMD_FLAG_FUA,
  [CMD_TRIM]: CMD_FLAG_FUA,
  [CMD_CACHE]: CMD_FLAG_FUA,
  [CMD_WRITE_ZEROES]: CMD_FLAG_FUA | CMD_FLAG_NO_HOLE | CMD_FLAG_FAST_ZERO,
  [CMD_BLOCK_STATUS]: CMD_FLAG_FUA | CMD_FLAG_REQ_ONE,
};

const NO_HOLE_AND_FAST = CMD_FLAG_NO_HOLE | CMD_FLAG_FAST_ZERO;

/** What a connection agreed on that its requests must keep to. */
export interface RequestRules {
  readonly readOnly: boolean;
  /** base:allocation was selected. */
  readonly blockStatus: boolean;
}

/** NBD_OK, or the error number to answer with. `sectors` is the size of the export now. */
export function checkRequestHeader(
  header: RequestHeader,
  rules: RequestRules,
  sectors: number,
): number {
  const { command, flags, offset, length } = header;
  const allowed = FLAGS_ALLOWED[command];
  if (allowed === undefined || (flags & ~allowed) !== 0) return NBD_EINVAL;
  if (command === CMD_FLUSH) return offset === 0 && length === 0 ? NBD_OK : NBD_EINVAL;
  const changes = command === CMD_WRITE || command === CMD_TRIM || command === CMD_WRITE_ZEROES;
  if (changes && rules.readOnly) return NBD_EPERM;
  if (command === CMD_BLOCK_STATUS && !rules.blockStatus) return NBD_EINVAL;
  if (length === 0 || length % SECTOR_BYTES !== 0) return NBD_EINVAL;
  if (!Number.isSafeInteger(offset) || offset % SECTOR_BYTES !== 0) return NBD_EINVAL;
  if (offset + length > sectors * SECTOR_BYTES) {
    return command === CMD_WRITE || command === CMD_WRITE_ZEROES ? NBD_ENOSPC : NBD_EINVAL;
  }
  if (command === CMD_READ && length > PAYLOAD_BYTES_MAX) return NBD_EOVERFLOW;
  // Zeros that must be allocated are written like any other data.
  if ((flags & NO_HOLE_AND_FAST) === NO_HOLE_AND_FAST) return NBD_ENOTSUP;
  return NBD_OK;
}
