/** The disk that whoever asks by a control socket or a pipe means. */
import { TapdiskError } from '../errors';

/** @throws TapdiskError DISK_NOT_FOUND */
export function diskByCookie<Disk>(disks: ReadonlyMap<number, Disk>, cookie: number): Disk {
  const disk = disks.get(cookie);
  if (disk !== undefined) return disk;
  throw new TapdiskError(
    'DISK_NOT_FOUND',
    `process ${process.pid} has no disk with cookie ${cookie}; tapdisk-ts list --running shows those there are`,
  );
}
