/** A VBD on doubles whose first four chunks are written and durable, with the values 1 to 4 as bytes. */
import type { Fence } from '../../lib/fence';
import { REQUEST_FLUSH, REQUEST_WRITE } from '../../lib/vbd/request';
import { Vbd } from '../../lib/vbd/vbd';
import { CHUNK_BYTES, VolumeOnDoubles } from '../volume/volume-on-doubles';
import { Guest } from './guest';

export const CHUNK_SECTORS = CHUNK_BYTES / 512;

export interface WrittenDisk {
  readonly disk: VolumeOnDoubles;
  readonly vbd: Vbd;
  /** Nothing of the writing is in its log, nor in the disk's schedule's. */
  readonly guest: Guest;
}

export async function openWrittenDisk(options: { fence?: Fence } = {}): Promise<WrittenDisk> {
  const disk = await VolumeOnDoubles.open(options);
  const vbd = new Vbd(disk.volume);
  const guest = new Guest(vbd);
  for (let chunk = 0; chunk < 4; chunk++) {
    const sector = chunk * CHUNK_SECTORS;
    const value = chunk + 1;
    guest.send('', { operation: REQUEST_WRITE, sector, sectorCount: CHUNK_SECTORS, value });
  }
  disk.letAll();
  guest.send('', { operation: REQUEST_FLUSH });
  disk.letAll();
  guest.log.length = 0;
  disk.schedule.log.length = 0;
  return { disk, vbd, guest };
}
