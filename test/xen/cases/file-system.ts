/** A file system in a guest: made, filled, unmounted, remounted, compared and checked. */
import type { Guest } from '../lab/guest';

const MOUNT = '/mnt';
/** Of each file system: 6 files of 1 MiB and 50 small ones. */
const FILL = `
set -e
for i in $(seq 6); do dd if=/dev/urandom of=${MOUNT}/large.$i bs=64k count=16 2>/dev/null; done
mkdir ${MOUNT}/small
for i in $(seq 50); do echo "file $i of this guest" >${MOUNT}/small/$i; done
cd ${MOUNT} && find . -type f | sort | xargs sha256sum >/tmp/sums`;

export async function makeAndFill(guest: Guest, device = '/dev/xvda'): Promise<void> {
  await guest.sh(`mke2fs -q -F -t ext4 ${device} && mount -t ext4 ${device} ${MOUNT}`);
  await guest.sh(FILL);
}

/** Leaves it unmounted. @throws Error where a file differs, or fsck finds anything */
export async function remountAndCompare(guest: Guest, device = '/dev/xvda'): Promise<void> {
  await guest.sh(
    `umount ${MOUNT}; echo 3 >/proc/sys/vm/drop_caches; mount -t ext4 ${device} ${MOUNT}`,
  );
  await guest.sh(
    `cd ${MOUNT} && sha256sum -c /tmp/sums >/tmp/compared || grep -v OK /tmp/compared`,
  );
  await guest.sh(`umount ${MOUNT} && e2fsck -fn ${device}`);
  const complaints = await guest.complaints();
  if (complaints !== '') throw new Error(`the guest's kernel complains: ${complaints}`);
}

export async function fileSystemHolds(guest: Guest, device = '/dev/xvda'): Promise<void> {
  await makeAndFill(guest, device);
  await remountAndCompare(guest, device);
}
