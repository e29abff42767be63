/** The lab itself: a guest on the kernel's own back end, before anything of ours is judged by it. */
import type { Case } from '../lab/case';
import { fileSystemHolds } from './file-system';

export const xenBlkback: Case = async (site) => {
  const { lab } = site;
  await lab.dom0('modprobe xen-blkback; truncate -s 256M /data/blkback.img');
  try {
    const guest = await site.guest({ disks: ['/data/blkback.img,raw,xvda,rw'] });
    await fileSystemHolds(guest);
    await guest.shutDown();
  } finally {
    await lab.dom0('rmmod xen-blkback; rm /data/blkback.img');
  }
  return `PV, ${(await lab.dom0('tapdisk-ts --version')).trim()} in dom0`;
};
