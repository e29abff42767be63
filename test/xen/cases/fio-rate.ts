/** fio in a guest, direct and measured. */
import { z } from 'zod/v3';
import type { Guest } from '../lab/guest';

/** Beyond the loads' own time, for fio to start and to end in emulation. */
const FIO_EXTRA_MS = 120_000;

export interface Load {
  readonly rw: 'read' | 'write' | 'randread' | 'randwrite';
  readonly blockBytes: number;
  readonly depth: number;
}

const side = z.object({ bw_bytes: z.number() });
const report = z.object({ jobs: z.array(z.object({ read: side, write: side })) });

/** One load after the other, by one start of fio. @returns bytes a second of each */
export async function fioRates(
  guest: Guest,
  device: string,
  loads: readonly Load[],
  seconds: number,
): Promise<number[]> {
  const shared =
    `--filename=${device} --direct=1 --ioengine=libaio --time_based --runtime=${seconds} ` +
    '--output-format=json';
  const jobs = loads.map(
    ({ rw, blockBytes, depth }, index) =>
      `--name=load${index} --stonewall --rw=${rw} --bs=${blockBytes} --iodepth=${depth}`,
  );
  const output = await guest.sh(`fio ${shared} ${jobs.join(' ')}`, {
    timeoutMs: loads.length * seconds * 1000 + FIO_EXTRA_MS,
  });
  const told = report.parse(JSON.parse(output.slice(output.indexOf('{')))).jobs;
  return loads.map(({ rw }, index) => {
    const { read, write } = told[index];
    return rw.includes('read') ? read.bw_bytes : write.bw_bytes;
  });
}
