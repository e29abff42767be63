/** /dev/xen/gntdev: pages that a guest granted us, mapped or copied (linux/uapi/xen/gntdev.h). */
import { errnoOf, TapdiskError } from '../lib/errors';
import { addon } from './addon';
import type { GrantCopyBatch } from './grant-copy-batch';
import { libc } from './libc';
import { type Mapping, mapShared } from './mapping';
import * as posix from './posix';

const DEVICE = '/dev/xen/gntdev';
const PAGE_BYTES = 4096;

const IOCTL_MAP_GRANT_REF = 0x184700;
const IOCTL_UNMAP_GRANT_REF = 0x104701;
const IOCTL_GRANT_COPY = 0x104708;

/** struct ioctl_gntdev_map_grant_ref: u32 count, pad, u64 index (out), then {u32 domid, u32 ref}. */
const MAP_COUNT = 0;
const MAP_INDEX = 8;
const MAP_REFS = 16;
const MAP_REF_BYTES = 8;
/** struct ioctl_gntdev_unmap_grant_ref: u64 index, u32 count, pad. */
const UNMAP_BYTES = 16;

/** Granted pages side by side in our memory, readable and writable, until `unmap`. */
export type GrantMapping = Mapping;

/** Access to the pages of other domains, as far as these granted it. */
export interface GrantDevice {
  /**
   * Maps pages that were granted for writing, one after the other. They stay readable when their
   * domain dies, and the domain's memory is kept from being freed until they are unmapped.
   *
   * @throws SystemCallError EINVAL where one of them is not granted so
   */
  map(domid: number, refs: readonly number[]): GrantMapping;
  /**
   * Does a batch; each segment has its own status afterwards.
   *
   * @throws SystemCallError where the batch was not done as a whole: no status counts then
   */
  copy(batch: GrantCopyBatch): void;
  close(): void;
}

/** Address of bytes that never move, as GrantCopyBatch wants it. */
export function addressOf(bytes: Buffer): number {
  const native = addon();
  if (native !== null) return native.addressOf(bytes);
  return Number(libc().ref.address(bytes));
}

/** @throws TapdiskError XEN_DEVICE_UNUSABLE */
export function openGrantDevice(): GrantDevice {
  return new LinuxGrantDevice(openXenDevice(DEVICE, 'xen-gntdev', 0));
}

/** Opens a device of Xen's, or says which module makes it. */
export function openXenDevice(path: string, module: string, flags: number): number {
  try {
    return posix.open(path, posix.O_RDWR | flags);
  } catch (error) {
    const reason = errnoOf(error) ?? String(error);
    throw new TapdiskError(
      'XEN_DEVICE_UNUSABLE',
      `${path} cannot be opened (${reason}): run in the control domain as root, after modprobe ${module}.`,
      { cause: error },
    );
  }
}

class LinuxGrantDevice implements GrantDevice {
  constructor(private readonly fd: number) {}

  map(domid: number, refs: readonly number[]): GrantMapping {
    const argument = Buffer.alloc(MAP_REFS + refs.length * MAP_REF_BYTES);
    argument.writeUInt32LE(refs.length, MAP_COUNT);
    refs.forEach((ref, position) => {
      argument.writeUInt32LE(domid, MAP_REFS + position * MAP_REF_BYTES);
      argument.writeUInt32LE(ref, MAP_REFS + position * MAP_REF_BYTES + 4);
    });
    posix.ioctl(this.fd, IOCTL_MAP_GRANT_REF, argument);
    const index = argument.readBigUInt64LE(MAP_INDEX);
    let mapping: Mapping;
    try {
      mapping = mapShared(this.fd, refs.length * PAGE_BYTES, Number(index));
    } catch (error) {
      this.forgetMap(index, refs.length);
      throw error;
    }
    let isMapped = true;
    return {
      bytes: mapping.bytes,
      address: mapping.address,
      unmap: () => {
        if (!isMapped) return;
        isMapped = false;
        mapping.unmap();
        this.forgetMap(index, refs.length);
      },
    };
  }

  copy(batch: GrantCopyBatch): void {
    if (batch.count > 0) posix.ioctl(this.fd, IOCTL_GRANT_COPY, batch.argument);
  }

  close(): void {
    posix.close(this.fd);
  }

  /** Gives the grants back; only after the munmap, or they would stay mapped. */
  private forgetMap(index: bigint, count: number): void {
    const argument = Buffer.alloc(UNMAP_BYTES);
    argument.writeBigUInt64LE(index, 0);
    argument.writeUInt32LE(count, 8);
    posix.ioctl(this.fd, IOCTL_UNMAP_GRANT_REF, argument);
  }
}
