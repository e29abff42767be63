/**
 * Numbers and offsets of io_uring's interface, from the kernel's linux/io_uring.h.
 *
 * The addon asserts the sizes of the structures when it is compiled. Words are 32 bits.
 */

/** struct io_uring_params. */
export const PARAMS_BYTES = 120;
export const PARAMS_SQ_ENTRIES = 0;
export const PARAMS_CQ_ENTRIES = 4;
export const PARAMS_FLAGS = 8;
export const PARAMS_FEATURES = 20;
/** Its struct io_sqring_offsets. */
export const PARAMS_SQ_TAIL = 44;
export const PARAMS_SQ_MASK = 48;
export const PARAMS_SQ_FLAGS = 56;
export const PARAMS_SQ_ARRAY = 64;
/** Its struct io_cqring_offsets. */
export const PARAMS_CQ_HEAD = 80;
export const PARAMS_CQ_TAIL = 84;
export const PARAMS_CQ_MASK = 88;
export const PARAMS_CQ_CQES = 100;
export const PARAMS_CQ_FLAGS = 104;

/** Where in the ring's file its memory lies: both rings' words, and the submission entries. */
export const OFFSET_RINGS = 0;
export const OFFSET_SQES = 0x10000000;

/** Flags of io_uring_setup. */
export const SETUP_CQSIZE = 1 << 3;
export const SETUP_CLAMP = 1 << 4;
export const SETUP_SUBMIT_ALL = 1 << 7;
export const SETUP_COOP_TASKRUN = 1 << 8;
export const SETUP_TASKRUN_FLAG = 1 << 9;

export const FEATURE_SINGLE_MMAP = 1 << 0;
export const FEATURE_NODROP = 1 << 1;
export const FEATURE_SUBMIT_STABLE = 1 << 2;
/** Kernel 5.11: io_uring_enter can bound its wait by itself. */
export const FEATURE_EXT_ARG = 1 << 8;
/** Kernel 5.17: by then a poll can go on after it has told (5.13), and tells every write to a pipe. */
export const FEATURE_CQE_SKIP = 1 << 11;

export const ENTER_GETEVENTS = 1 << 0;
export const ENTER_REGISTERED_RING = 1 << 4;

/** Bits of the submission ring's flags word. */
export const SQ_CQ_OVERFLOW = 1 << 1;
export const SQ_TASKRUN = 1 << 2;

/** Bit of the completion ring's flags word: completions leave the eventfd alone. */
export const CQ_EVENTFD_DISABLED = 1 << 0;

export const REGISTER_EVENTFD = 4;
export const REGISTER_FILES_UPDATE = 6;
export const REGISTER_PROBE = 8;
export const REGISTER_FILES2 = 13;
export const REGISTER_BUFFERS2 = 15;
export const REGISTER_BUFFERS_UPDATE = 16;
export const REGISTER_RING_FDS = 20;
export const UNREGISTER_RING_FDS = 21;

/** struct io_uring_rsrc_register and struct io_uring_rsrc_update2. */
export const RSRC_BYTES = 32;
export const RSRC_REGISTER_COUNT = 0;
export const RSRC_REGISTER_FLAGS = 4;
export const RSRC_REGISTER_SPARSE = 1 << 0;
export const RSRC_UPDATE_OFFSET = 0;
export const RSRC_UPDATE_DATA = 8;
export const RSRC_UPDATE_COUNT = 24;
/** struct io_uring_rsrc_update, as REGISTER_RING_FDS takes it; index -1: any that is free. */
export const RING_FD_BYTES = 16;
export const RING_FD_INDEX = 0;
export const RING_FD_FILE = 8;
export const RING_FD_ANY_INDEX = 0xffffffff;
/** struct io_uring_files_update: which slot, and a pointer to the descriptors. */
export const FILES_UPDATE_BYTES = 16;
export const FILES_UPDATE_OFFSET = 0;
export const FILES_UPDATE_FDS = 8;
export const IOVEC_BYTES = 16;

/** struct io_uring_probe: a header, then an entry for each operation. */
export const PROBE_HEADER_BYTES = 16;
export const PROBE_OP_BYTES = 8;
export const PROBE_OP_FLAGS = 2;
export const PROBE_OP_SUPPORTED = 1 << 0;

/** Operations. */
export const OP_NOP = 0;
export const OP_READV = 1;
export const OP_WRITEV = 2;
export const OP_FSYNC = 3;
export const OP_READ_FIXED = 4;
export const OP_WRITE_FIXED = 5;
export const OP_POLL_ADD = 6;
export const OP_POLL_REMOVE = 7;
export const OP_FALLOCATE = 17;
export const OP_READ = 22;
export const OP_WRITE = 23;
/** Kernel 6.15. */
export const OP_READV_FIXED = 60;
export const OP_WRITEV_FIXED = 61;

export const FSYNC_DATASYNC = 1 << 0;
/** In a POLL_ADD's length: goes on after it has told. */
export const POLL_ADD_MULTI = 1 << 0;

/** struct io_uring_sqe, in words. */
export const SQE_WORDS = 16;
/** The operation, and in the second byte the flags of the entry itself. */
export const SQE_OPCODE = 0;
/** IOSQE_FIXED_FILE, as it lies in that word: the entry's descriptor is a registered file's slot. */
export const SQE_FIXED_FILE = 1 << 8;
export const SQE_FD = 1;
export const SQE_OFFSET = 2;
export const SQE_ADDRESS = 4;
export const SQE_LENGTH = 6;
export const SQE_FLAGS = 7;
export const SQE_USER_DATA = 8;
export const SQE_BUFFER_INDEX = 10;

/** struct io_uring_cqe, in words. */
export const CQE_WORDS = 4;
export const CQE_RESULT = 2;
export const CQE_FLAGS = 3;
/** More completions of the same entry will come. */
export const CQE_MORE = 1 << 1;
