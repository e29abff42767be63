/** The options by which a command names a running disk. */
import type { Argv } from 'yargs';
import { callProcess, findRunningDisk, type RunningDisk } from '../../control/socket-client';
import type { SocketMethod, SocketParams, SocketResult } from '../../control/socket-protocol';
import { parseVolumeAddress } from '../../pool/address';
import type { CommandIo } from '../io';

export interface DiskOptions {
  volume: string;
  pid: number | undefined;
}

export function diskOptions(yargs: Argv): Argv<DiskOptions> {
  return yargs
    .positional('volume', {
      type: 'string',
      demandOption: true,
      describe: 'POOL/VOLUME of a running disk',
    })
    .option('pid', {
      type: 'number',
      requiresArg: true,
      describe: 'Process, where several serve the volume',
    });
}

/** @throws TapdiskError ADDRESS_INVALID, NAME_INVALID, DISK_NOT_FOUND, DISK_AMBIGUOUS */
export async function findDisk(options: DiskOptions, io: CommandIo): Promise<RunningDisk> {
  parseVolumeAddress(options.volume);
  return findRunningDisk(options.volume, options.pid, io.env);
}

/** Asks the process of a disk one thing about it. */
export async function askDisk<M extends SocketMethod>(
  found: RunningDisk,
  method: M,
  params: Omit<SocketParams<M>, 'cookie'>,
): Promise<SocketResult<M>> {
  const all = { cookie: found.disk.cookie, ...params } as unknown as SocketParams<M>;
  return callProcess(found.socketPath, method, all);
}
