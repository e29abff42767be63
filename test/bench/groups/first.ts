/** The first table: what the ring costs without a store (null), and with one beside fio. */
import { fioOnFile } from '../fio';
import { loads, nameOfLoad } from '../load';
import { compare } from '../row';
import { ServedRing } from '../served-ring';
import { DISK_BYTES, KIB } from '../settings';
import type { RowDone } from './group';

const LOADS = [...loads('random', 4 * KIB, [1, 32]), ...loads('sequential', 44 * KIB, [1, 32])];

export async function first(done: RowDone): Promise<void> {
  const nothing = await ServedRing.prepare({ path: 'direct', storeKind: 'null' });
  const directory = await ServedRing.prepare({ path: 'direct' });
  const file = directory.extentFile;
  for (const load of LOADS) {
    done(
      await compare({
        load: nameOfLoad(load, 'direct'),
        ours: { who: 'dir store', run: () => directory.run(load) },
        peers: [
          { who: 'fio io_uring', run: () => fioOnFile(load, 'direct', file, DISK_BYTES) },
          { who: 'null store', run: () => nothing.run(load) },
        ],
      }),
    );
  }
  await nothing.stopAndRemove();
  await directory.stopAndRemove();
}
