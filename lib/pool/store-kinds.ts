/** The kinds of chunk store that a pool can have, by the names that its files give them. */
import { openIoEngine } from '../../native-bindings/open-engine';
import type { IoEngineKind } from '../../native-bindings/io-engine';
import type { Attachment } from '../coordination/coordination';
import { TapdiskError } from '../errors';
import type { ChunkStore } from '../store/chunk-store';
import { DirStore } from '../store/dir/dir-store';
import { MemoryStore } from '../store/memory-store';
import { NullStore } from '../store/null-store';

export interface OpenStore {
  readonly chunkBytes: number;
  readonly readOnly: boolean;
  /**
   * Past the page cache, where the file system lets it; else as TAPDISK_TS_DIRECT says (`on`,
   * `off`), and true without either.
   */
  readonly direct?: boolean;
  /** The right by which it writes, for kinds that check it; without one nothing can be written. */
  readonly attachment?: Attachment;
  /** Which I/O engine is preferred; io_uring unless told. */
  readonly engine?: IoEngineKind;
}

type OpenStoreKind = (directory: string, options: OpenStore) => ChunkStore;

const STORE_KINDS: Readonly<Record<string, OpenStoreKind>> = {
  dir: (directory, { chunkBytes, readOnly, direct = directByEnvironment(), engine }) =>
    new DirStore({
      directory,
      chunkBytes,
      readOnly,
      direct,
      openEngine: (done, batchEnd) => openIoEngine(done, batchEnd, engine),
    }),
  // For measurements and tests: neither keeps anything beyond the process.
  memory: (_directory, { chunkBytes }) => new MemoryStore(chunkBytes),
  null: (_directory, { chunkBytes }) => new NullStore(chunkBytes),
};

/** Kinds of a pool of one host. */
export const STORE_KIND_NAMES: readonly string[] = Object.keys(STORE_KINDS);
export const STORE_KIND_DEFAULT = 'dir';

/** Buffered transfers end in memory, so what serves them can be measured without the device. */
function directByEnvironment(): boolean {
  const setting = process.env.TAPDISK_TS_DIRECT ?? '';
  if (setting === '' || setting === 'on') return true;
  if (setting === 'off') return false;
  throw new TapdiskError(
    'DIRECT_UNKNOWN',
    `TAPDISK_TS_DIRECT is "${setting}", which means nothing; set it to on or off`,
  );
}

/** @throws TapdiskError STORE_KIND_UNKNOWN */
export function checkStoreKind(kind: string): void {
  if (STORE_KIND_NAMES.includes(kind)) return;
  throw new TapdiskError(
    'STORE_KIND_UNKNOWN',
    `"${kind}" is no kind of store that this program knows; it knows ${STORE_KIND_NAMES.join(', ')}`,
  );
}

/** @throws TapdiskError STORE_KIND_UNKNOWN, DIRECT_UNKNOWN, IO_ENGINE_UNKNOWN */
export function openStoreOfKind(kind: string, directory: string, options: OpenStore): ChunkStore {
  checkStoreKind(kind);
  return STORE_KINDS[kind](directory, options);
}
