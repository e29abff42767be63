/** Where the lab keeps what it downloads, builds and logs: `.xen-lab` in the checkout, or XEN_LAB. */
import path from 'node:path';
import { PROJECT_ROOT } from '../../project-root';

export const LAB = path.resolve(process.env.XEN_LAB ?? path.join(PROJECT_ROOT, '.xen-lab'));

/** The lab's own sources that are no TypeScript: init scripts, C programs of the guest. */
export const SOURCES = path.join(PROJECT_ROOT, 'test', 'xen');

export const inLab = (...parts: readonly string[]): string => path.join(LAB, ...parts);

/** Every Debian package of the lab, unpacked into one tree. */
export const DEBIAN_TREE = inLab('debian');

export const XEN = inLab('xen');
export const VMLINUX = inLab('vmlinux');
export const BOOT_INITRD = inLab('boot.cpio');
/** dom0's userland, the guests' kernel and initramfs in it; never written to. */
export const ROOT_IMAGE = inLab('root.img');
/** What `make install` puts on a host, as an image laid over dom0's userland. */
export const PROJECT_IMAGE = inLab('project.img');
/** What survives a hard kill: dom0's /data. */
export const DATA_IMAGE = inLab('data.img');
/** QEMU's pid, the agent's socket, the console's log. */
export const RUN = inLab('run');
/** What failed cases left to read. */
export const FAILURES = inLab('failures');
