/** The directory store keeps the contract, on both engines, with direct and with buffered I/O. */
import { openIoEngine } from '../../native-bindings/open-engine';
import type { IoEngineKind } from '../../native-bindings/io-engine';
import { DirStore } from '../../lib/store/dir/dir-store';
import { chunkStoreContract } from './contract';
import { storeDirectories } from './store-directory';

const newDirectory = storeDirectories();

describe.each<[IoEngineKind, boolean]>([
  ['io_uring', true],
  ['io_uring', false],
  ['threads', true],
  ['threads', false],
])('on %s, direct: %s', (engine, direct) => {
  chunkStoreContract((chunkBytes) => {
    const store = new DirStore({
      directory: newDirectory(),
      chunkBytes,
      readOnly: false,
      direct,
      openEngine: (done, batchEnd) => openIoEngine(done, batchEnd, engine),
    });
    const used = store.describe();
    // Where the host has no io_uring the contract is tried on what there is instead.
    if (used.engine !== engine) {
      console.warn(`${engine} is not to be had: ${String(used.engineReason)}`);
    }
    return store;
  });
});
