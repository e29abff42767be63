/** Opens a store in a directory, with the I/O engine that this host has. */
import { openIoEngine } from '../../native-bindings/open-engine';
import { TapdiskError } from '../errors';
import { DirStore } from '../store/dir/dir-store';
import type { OpenStore } from './store-kinds';

/** @throws TapdiskError DIRECT_UNKNOWN, IO_ENGINE_UNKNOWN */
export function openDirStore(
  directory: string,
  { chunkBytes, readOnly, direct = directByEnvironment(), engine }: OpenStore,
): DirStore {
  return new DirStore({
    directory,
    chunkBytes,
    readOnly,
    direct,
    openEngine: (done, batchEnd) => openIoEngine(done, batchEnd, engine),
  });
}

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
