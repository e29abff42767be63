/** The number that a virtual disk's name stands for (xen-vbd-interface(7)): `xvdb` is 51728. */
import { TapdiskError } from '../errors';

const XVD_MAJOR = 202;
const SD_MAJOR = 8;
const HD_MAJORS = [3, 22];
/** Disks and partitions beyond the first sixteen have numbers of another form. */
const EXTENDED = 2 ** 28;

const NAME = /^(?<bus>xvd|hd|sd)(?<disk>[a-z]{1,3})(?<part>[1-9][0-9]?)?$/;
const PLAIN = /^d(?<disk>[0-9]{1,6})(?:p(?<part>[0-9]{1,3}))?$/;

/** @throws TapdiskError VIRTUAL_DEVICE_INVALID */
export function virtualDeviceNumber(name: string): number {
  const number = ofName(name) ?? ofPlain(name);
  if (number !== null) return number;
  throw new TapdiskError(
    'VIRTUAL_DEVICE_INVALID',
    `${JSON.stringify(name)} is no name of a guest's disk; write xvda to xvdz, or with a partition, xvda1.`,
  );
}

function ofName(name: string): number | null {
  const groups = NAME.exec(name)?.groups;
  if (groups === undefined) return null;
  const disk =
    [...groups.disk].reduce((sum, letter) => sum * 26 + letter.charCodeAt(0) - 96, 0) - 1;
  const part = Number(groups.part ?? 0);
  if (groups.bus === 'xvd') return ofDisk(disk, part);
  if (groups.bus === 'sd') {
    return disk < 16 && part < 16 ? SD_MAJOR * 256 + disk * 16 + part : null;
  }
  return disk < 4 && part < 64 ? HD_MAJORS[disk >> 1] * 256 + (disk & 1) * 64 + part : null;
}

function ofPlain(name: string): number | null {
  const groups = PLAIN.exec(name)?.groups;
  return groups === undefined ? null : ofDisk(Number(groups.disk), Number(groups.part ?? 0));
}

function ofDisk(disk: number, part: number): number | null {
  if (disk < 16 && part < 16) return XVD_MAJOR * 256 + disk * 16 + part;
  return disk < 2 ** 20 && part < 256 ? EXTENDED + disk * 256 + part : null;
}
