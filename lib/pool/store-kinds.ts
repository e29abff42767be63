/** The kinds of chunk store that a pool can have, by the names that its files give them. */
import type { IoEngineKind } from '../../native-bindings/io-engine';
import type { Attachment } from '../coordination/coordination';
import { TapdiskError } from '../errors';
import type { ChunkStore } from '../store/chunk-store';
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
  dir: (directory, options) => dirStores().openDirStore(directory, options),
  // For measurements and tests: neither keeps anything beyond the process.
  memory: (_directory, { chunkBytes }) => new MemoryStore(chunkBytes),
  null: (_directory, { chunkBytes }) => new NullStore(chunkBytes),
};

/** Kinds of a pool of one host. */
export const STORE_KIND_NAMES: readonly string[] = Object.keys(STORE_KINDS);
export const STORE_KIND_DEFAULT = 'dir';

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

/** Loads what a store of this kind is opened with, where that is not loaded yet. */
export function loadStoreKind(kind: string): void {
  if (kind === 'dir') dirStores();
}

/* eslint-disable @typescript-eslint/no-require-imports -- an import would load it, with the I/O
   engines, in every process that opens a pool, and many open no store */
const dirStores = (): typeof import('./open-dir-store') =>
  require('./open-dir-store') as typeof import('./open-dir-store');
/* eslint-enable @typescript-eslint/no-require-imports */
