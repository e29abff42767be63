/** The ring beside fio io_uring on the same file and beside a back end in C on that file. */
import type { ShmGeometry } from '../../../lib/frontend/shm/shm-geometry';
import { CBackEnd } from '../c-back-end';
import { fioOnFile } from '../fio';
import { loads, nameOfLoad, type Load, type Path } from '../load';
import type { MemoryLayout } from '../memory-layout';
import { atLeast, atMost, compare, type Compared } from '../row';
import { INDIRECT_RING, PLAIN_RING, ServedRing } from '../served-ring';
import { DISK_BYTES, KIB, MIB } from '../settings';
import type { RowDone } from './group';

const FIO = 'fio io_uring';
const C = 'C back end';

const SMALL = loads('random', 4 * KIB, [1, 32, 256]);
const MIDDLE = loads('sequential', 44 * KIB, [1, 32, 256]);
const LARGE = loads('sequential', MIB, [1, 32, 256]);
const MIDDLE_HOT = loads('sequential', 44 * KIB, [32]);
const LARGE_HOT = loads('sequential', MIB, [32]);

export async function ring(done: RowDone): Promise<void> {
  await onRing('direct', PLAIN_RING, [...SMALL, ...MIDDLE], done);
  await onRing('direct', INDIRECT_RING, LARGE, done);
  await onRing('direct', INDIRECT_RING, LARGE, done, 'scattered');
  await onQueues(done);
  await onRing('hot', PLAIN_RING, [...SMALL, ...MIDDLE_HOT], done);
  await onRing('hot', INDIRECT_RING, LARGE_HOT, done);
}

async function onRing(
  path: Path,
  geometry: ShmGeometry,
  tried: readonly Load[],
  done: RowDone,
  memory: MemoryLayout = 'gathered',
): Promise<void> {
  const served = await ServedRing.prepare({ path, geometry, memory });
  const file = served.extentFile;
  const peer = await CBackEnd.start(file, geometry, path, memory);
  for (const load of tried) {
    done(
      await compare({
        load: nameOfLoad(load, path) + (memory === 'scattered' ? ', scattered memory' : ''),
        ours: { who: 'tapdisk-ts', run: () => served.run(load) },
        peers: [
          { who: FIO, run: () => fioOnFile(load, path, file, DISK_BYTES, memory) },
          ...(isForC(load, path) ? [{ who: C, run: () => peer.run(load) }] : []),
        ],
        ...goalsOf(load, path),
      }),
    );
  }
  await peer.stop();
  await served.stopAndRemove();
}

/** What a second queue brings, beside the same number of requests in one. */
async function onQueues(done: RowDone): Promise<void> {
  const one = await ServedRing.prepare({ path: 'direct' });
  const two = await ServedRing.prepare({ path: 'direct', queues: 2 });
  for (const load of loads('random', 4 * KIB, [32])) {
    const twice = { ...load, depth: 2 * load.depth };
    done(
      await compare({
        load: `${nameOfLoad(load, 'direct')}, on each of two queues`,
        ours: { who: 'two queues', run: () => two.run(load) },
        peers: [
          { who: 'one queue', run: () => one.run(load) },
          { who: 'one queue, depth 64', run: () => one.run(twice) },
        ],
      }),
    );
  }
  await one.stopAndRemove();
  await two.stopAndRemove();
}

/** With large requests the device decides, not the program: the peer in C would show the same. */
function isForC(load: Load, path: Path): boolean {
  return path === 'hot' || load.blockBytes === 4 * KIB;
}

function goalsOf(load: Load, path: Path): Pick<Compared, 'goals' | 'userUsGoal'> {
  const { blockBytes, depth, operation } = load;
  const userUsGoal = blockBytes === 4 * KIB && depth === 32 ? { userUsGoal: atMost(1.5) } : {};
  const of = (peer: string, value: number): Pick<Compared, 'goals' | 'userUsGoal'> => ({
    goals: [{ peers: [peer], goal: atLeast(value) }],
    ...userUsGoal,
  });
  if (blockBytes === MIB) return path === 'direct' ? of(FIO, 0.95) : {};
  if (blockBytes !== 4 * KIB) return {};
  if (path === 'hot') return depth === 32 ? of(C, 0.9) : {};
  if (depth === 32) return of(FIO, operation === 'read' ? 0.9 : 0.85);
  return depth === 1 && operation === 'read' ? of(FIO, 0.8) : {};
}
