/**
 * The NBD protocol's numbers and layouts, from the NBD project's doc/proto.md. All big-endian.
 */

/** "NBDMAGIC", "IHAVEOPT" and the magic of option replies, as two halves. */
export const INIT_MAGIC = [0x4e42444d, 0x41474943] as const;
export const OPTION_MAGIC = [0x49484156, 0x454f5054] as const;
export const OPTION_REPLY_MAGIC = [0x0003e889, 0x045565a9] as const;

/** Handshake flags, server's and client's. */
export const FLAG_FIXED_NEWSTYLE = 1;
export const FLAG_NO_ZEROES = 2;

/** The greeting: two magics and 16 bits of flags. */
export const GREETING_BYTES = 18;
export const CLIENT_FLAGS_BYTES = 4;
/** magic, option, length */
export const OPTION_HEADER_BYTES = 16;
/** magic, option, reply type, length */
export const OPTION_REPLY_HEADER_BYTES = 20;
/** What follows the reply to EXPORT_NAME, unless both sides do without. */
export const EXPORT_NAME_ZEROES_BYTES = 124;

export const OPT_EXPORT_NAME = 1;
export const OPT_ABORT = 2;
export const OPT_LIST = 3;
export const OPT_STARTTLS = 5;
export const OPT_INFO = 6;
export const OPT_GO = 7;
export const OPT_STRUCTURED_REPLY = 8;
export const OPT_LIST_META_CONTEXT = 9;
export const OPT_SET_META_CONTEXT = 10;

export const REP_ACK = 1;
export const REP_SERVER = 2;
export const REP_INFO = 3;
export const REP_META_CONTEXT = 4;
const REP_FLAG_ERROR = 2 ** 31;
export const REP_ERR_UNSUP = REP_FLAG_ERROR + 1;
export const REP_ERR_POLICY = REP_FLAG_ERROR + 2;
export const REP_ERR_INVALID = REP_FLAG_ERROR + 3;
export const REP_ERR_TLS_REQD = REP_FLAG_ERROR + 5;
export const REP_ERR_UNKNOWN = REP_FLAG_ERROR + 6;
export const REP_ERR_TOO_BIG = REP_FLAG_ERROR + 9;

export const INFO_EXPORT = 0;
export const INFO_NAME = 1;
export const INFO_DESCRIPTION = 2;
export const INFO_BLOCK_SIZE = 3;

/** Transmission flags. */
export const FLAG_HAS_FLAGS = 1 << 0;
export const FLAG_READ_ONLY = 1 << 1;
export const FLAG_SEND_FLUSH = 1 << 2;
export const FLAG_SEND_FUA = 1 << 3;
export const FLAG_SEND_TRIM = 1 << 5;
export const FLAG_SEND_WRITE_ZEROES = 1 << 6;
export const FLAG_SEND_DF = 1 << 7;
export const FLAG_CAN_MULTI_CONN = 1 << 8;
export const FLAG_SEND_CACHE = 1 << 10;
export const FLAG_SEND_FAST_ZERO = 1 << 11;

export const REQUEST_MAGIC = 0x25609513;
/** magic 32, flags 16, command 16, cookie 64, offset 64, length 32 */
export const REQUEST_BYTES = 28;

export const CMD_READ = 0;
export const CMD_WRITE = 1;
export const CMD_DISC = 2;
export const CMD_FLUSH = 3;
export const CMD_TRIM = 4;
export const CMD_CACHE = 5;
export const CMD_WRITE_ZEROES = 6;
export const CMD_BLOCK_STATUS = 7;

/** Command flags. */
export const CMD_FLAG_FUA = 1 << 0;
export const CMD_FLAG_NO_HOLE = 1 << 1;
export const CMD_FLAG_DF = 1 << 2;
export const CMD_FLAG_REQ_ONE = 1 << 3;
export const CMD_FLAG_FAST_ZERO = 1 << 4;

export const SIMPLE_REPLY_MAGIC = 0x67446698;
/** magic 32, error 32, cookie 64 */
export const SIMPLE_REPLY_BYTES = 16;

export const STRUCTURED_REPLY_MAGIC = 0x668e33ef;
/** magic 32, flags 16, type 16, cookie 64, length 32 */
export const STRUCTURED_REPLY_BYTES = 20;
export const REPLY_FLAG_DONE = 1;
export const REPLY_TYPE_OFFSET_DATA = 1;
export const REPLY_TYPE_BLOCK_STATUS = 5;
export const REPLY_TYPE_ERROR = 2 ** 15 + 1;

/** Error numbers on the wire; they are Linux's. */
export const NBD_OK = 0;
export const NBD_EPERM = 1;
export const NBD_EIO = 5;
export const NBD_ENOMEM = 12;
export const NBD_EINVAL = 22;
export const NBD_ENOSPC = 28;
export const NBD_EOVERFLOW = 75;
export const NBD_ENOTSUP = 95;

/** The one metadata context served, and the states that its extents can have. */
export const BASE_ALLOCATION = 'base:allocation';
export const BASE_ALLOCATION_ID = 1;
export const STATE_HOLE = 1;
export const STATE_ZERO = 2;

/** Offsets and sizes are 64 bits on the wire. */
export const HALF = 2 ** 32;
