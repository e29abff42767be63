/** fio in a guest, direct and measured. */
import { z } from 'zod/v3';
import type { Guest } from '../lab/guest';

/** Beyond a load's own time, for fio to start and to end in emulation. */
const FIO_EXTRA_MS = 120_000;

export interface Load {
  readonly rw: 'read' | 'write' | 'randread' | 'randwrite';
  readonly blockBytes: number;
  readonly depth: number;
}

const side = z.object({ bw_bytes: z.number() });
const report = z.object({ jobs: z.array(z.object({ read: side, write: side })).length(1) });

/** Direct. @returns bytes a second */
export async function fioRate(
  guest: Guest,
  device: string,
  load: Load,
  seconds: number,
): Promise<number> {
  const command =
    `fio --name=rate --filename=${device} --direct=1 --ioengine=libaio --iodepth=${load.depth} ` +
    `--rw=${load.rw} --bs=${load.blockBytes} --time_based --runtime=${seconds} --output-format=json`;
  const output = await guest.sh(command, { timeoutMs: seconds * 1000 + FIO_EXTRA_MS });
  const [{ read, write }] = report.parse(JSON.parse(output.slice(output.indexOf('{')))).jobs;
  return load.rw.includes('read') ? read.bw_bytes : write.bw_bytes;
}
