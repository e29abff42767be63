/** The NBD server beside qemu-nbd and nbdkit on the same data, by the same clients. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { fioOnNbd } from '../fio';
import { loads, nameOfLoad, type Load, type Path } from '../load';
import { NbdPeer } from '../nbd-peer';
import { measureUsage } from '../process-usage';
import { atLeast, compare, type Compared, type Contestant, type Goal } from '../row';
import type { Sample } from '../sample';
import { ServedRing } from '../served-ring';
import { DISK_BYTES, KIB, MIB } from '../settings';
import type { RowDone } from './group';

const run = promisify(execFile);

const DIRECT = [
  ...loads('random', 4 * KIB, [1, 32]),
  ...loads('sequential', 44 * KIB, [32]),
  ...loads('sequential', MIB, [8]),
];
const HOT = [...loads('random', 4 * KIB, [1, 32]), ...loads('sequential', MIB, [8])];
const WARMING = loads('random', 4 * KIB, [32]);
const NBDKIT = 'nbdkit file';

export async function nbd(done: RowDone): Promise<void> {
  const direct = await ServedRing.prepare({ path: 'direct' });
  await beside('direct', direct, DIRECT, (file) => qemuPeers(file), done);
  const hot = await ServedRing.prepare({ path: 'hot' });
  await beside('hot', hot, HOT, async (file) => [await NbdPeer.nbdkit(NBDKIT, file)], done);
}

function qemuPeers(file: string): Promise<NbdPeer[]> {
  return Promise.all(
    (['raw', 'qcow2'] as const).flatMap((format) =>
      (['native', 'io_uring'] as const).map((aio) => NbdPeer.qemuNbd(file, format, aio)),
    ),
  );
}

/** The ring that filled the volume makes way for the NBD server of the same volume. */
async function beside(
  path: Path,
  filled: ServedRing,
  tried: readonly Load[],
  startPeers: (file: string) => Promise<NbdPeer[]>,
  done: RowDone,
): Promise<void> {
  const file = filled.extentFile;
  await filled.stop();
  const ours = await NbdPeer.tapdiskTs(filled.tapdisk);
  const peers = await startPeers(file);
  for (const peer of [ours, ...peers]) {
    // Code that has run for a while is compiled code.
    for (const load of WARMING) await fioOnNbd(load, peer.uri, DISK_BYTES);
  }
  for (const load of tried) {
    done(
      await compare({
        load: nameOfLoad(load, path),
        ours: contestant(ours, load),
        peers: peers.map((peer) => contestant(peer, load)),
        ...goalsOf(load, path, peers),
      }),
    );
  }
  done(
    await compare({
      load: `nbdcopy to nowhere, ${path}`,
      ours: { who: ours.who, run: () => copy(ours) },
      peers: peers.map((peer) => ({ who: peer.who, run: () => copy(peer) })),
    }),
  );
  for (const peer of [ours, ...peers]) await peer.stop();
  filled.remove();
}

function contestant(peer: NbdPeer, load: Load): Contestant {
  return {
    who: peer.who,
    run: async () => {
      const used = await measureUsage(peer.pid, () => fioOnNbd(load, peer.uri, DISK_BYTES));
      const { userUs, systemUs, residentBytes } = used;
      return { ...used.result, userUs, systemUs, residentBytes };
    },
  };
}

/** nbdcopy's requests are of 256 KiB (nbdcopy(1), --request-size); it tells no latency. */
const COPY_REQUEST_BYTES = 256 * KIB;

async function copy(peer: NbdPeer): Promise<Sample> {
  const startedMs = performance.now();
  const used = await measureUsage(peer.pid, () => run('nbdcopy', [peer.uri, 'null:']));
  const seconds = (performance.now() - startedMs) / 1000;
  const requests = DISK_BYTES / COPY_REQUEST_BYTES;
  const { userUs, systemUs, residentBytes } = used;
  return {
    requests,
    iops: requests / seconds,
    mbPerSecond: DISK_BYTES / seconds / 1e6,
    latencyUsP50: null,
    latencyUsP99: null,
    userUs,
    systemUs,
    residentBytes,
  };
}

function goalsOf(load: Load, path: Path, peers: readonly NbdPeer[]): Pick<Compared, 'goals'> {
  const goal = goalOf(load, path);
  return goal === null ? {} : { goals: [{ peers: peers.map(({ who }) => who), goal }] };
}

function goalOf({ blockBytes, depth, operation }: Load, path: Path): Goal | null {
  if (path === 'hot') {
    if (blockBytes === MIB) return atLeast(1);
    return depth === 32 ? atLeast(1.8) : null;
  }
  if (blockBytes !== 4 * KIB) return null;
  if (depth === 32) return atLeast(1.2);
  return atLeast(operation === 'read' ? 1 : 1.1);
}
