/** Local pools in temporary directories, whose processes can be killed. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Coordination } from '../../../lib/coordination/coordination';
import { openLocalCoordination } from '../../../lib/coordination/local/local-coordination';
import { initLocalDirectory } from '../../../lib/coordination/local/make-volume';
import type { PoolUnderTest } from '../pool-under-test';
import { MortalFileSystem, WITHOUT_SYNC } from './mortal-file-system';

export interface LocalPoolUnderTest extends PoolUnderTest {
  readonly directory: string;
  /** A view whose process dies at a call. */
  openMortal(fileSystem: MortalFileSystem): Promise<Coordination>;
}

export async function makeLocalPool(): Promise<LocalPoolUnderTest> {
  const directory = mkdtempSync(join(tmpdir(), 'tapdisk-ts-pool-'));
  await initLocalDirectory(directory, WITHOUT_SYNC);
  const living = new Map<Coordination, MortalFileSystem>();
  const openMortal = async (fileSystem: MortalFileSystem): Promise<Coordination> => {
    const view = await openLocalCoordination({ directory, fileSystem: fileSystem.calls });
    living.set(view, fileSystem);
    return view;
  };
  return {
    directory,
    open: () => openMortal(new MortalFileSystem()),
    openMortal,
    async kill(view) {
      await living.get(view)!.kill();
      living.delete(view);
    },
    async dispose() {
      for (const fileSystem of living.values()) await fileSystem.kill();
      rmSync(directory, { recursive: true });
    },
  };
}
