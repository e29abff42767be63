/** What dom0 boots with: enough to lay the project's image over the userland's, and go there. */
import path from 'node:path';
import { BOOT_INITRD, SOURCES } from '../lab/paths';
import { buildInitramfs } from './initramfs';

const MODULES = ['virtio_pci', 'virtio_blk', 'virtio_rng', 'ext4', 'crc32c_generic', 'overlay'];

export function buildBootInitrd(): void {
  buildInitramfs(BOOT_INITRD, {
    init: path.join(SOURCES, 'dom0', 'boot'),
    programs: [],
    modules: MODULES,
  });
}
