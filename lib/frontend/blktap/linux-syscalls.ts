/** The blktap front end's system calls on a real kernel. */
import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { mapShared } from '../../../native-bindings/mapping';
import * as posix from '../../../native-bindings/posix';
import { watchReadable } from '../../../native-bindings/readiness';
import { errnoOf } from '../../errors';
import { KERNEL_TEXT_BYTES_MAX } from '../limits';
import type { BlktapSyscalls } from './blktap-syscalls';

export const linuxSyscalls: BlktapSyscalls = {
  characterDevice(path) {
    const found = orUndefined(() => statSync(path));
    if (found === undefined || !found.isCharacterDevice()) return undefined;
    return { major: deviceMajor(found.rdev), minor: deviceMinor(found.rdev) };
  },
  readText(path) {
    const fd = orUndefined(() => openSync(path, 'r'));
    if (fd === undefined) return undefined;
    try {
      const bytes = Buffer.alloc(KERNEL_TEXT_BYTES_MAX);
      let length = 0;
      for (;;) {
        const read = readSync(fd, bytes, length, bytes.length - length, null);
        length += read;
        if (read === 0 || length === bytes.length) return bytes.toString('latin1', 0, length);
      }
    } finally {
      closeSync(fd);
    }
  },
  exists(path) {
    return orUndefined(() => statSync(path)) !== undefined;
  },
  open(path) {
    return posix.open(path, posix.O_RDWR);
  },
  close(fd) {
    posix.close(fd);
  },
  map(fd, lengthBytes, offset) {
    return mapShared(fd, lengthBytes, offset);
  },
  ioctl(fd, request, value) {
    return posix.ioctl(fd, request, value);
  },
  ioctlBuffer(fd, request, argument) {
    return posix.ioctl(fd, request, argument);
  },
  watch(fd, onReadable) {
    return watchReadable(fd, onReadable);
  },
};

/** Undefined where the path is not there; other failures are thrown. */
function orUndefined<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === 'ENOENT' || errno === 'ENOTDIR') return undefined;
    throw error;
  }
}

/** glibc's major(3) for the kernel's 12 bits: 8 to 19 of a dev_t. */
function deviceMajor(device: number): number {
  return Math.floor(device / 2 ** 8) % 2 ** 12;
}

/** glibc's minor(3) for the kernel's 20 bits: 0 to 7 and 20 to 31 of a dev_t. */
function deviceMinor(device: number): number {
  return (device % 2 ** 8) + (Math.floor(device / 2 ** 20) % 2 ** 12) * 2 ** 8;
}
