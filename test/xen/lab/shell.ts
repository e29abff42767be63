/** `make xen-shell`: boots the lab on this terminal, with a shell in dom0. */
import { existsSync } from 'node:fs';
import { emptyImage } from '../images/disk-image';
import { DATA_BYTES } from './lab';
import { DATA_IMAGE } from './paths';
import { startQemuHere } from './qemu';

if (!existsSync(DATA_IMAGE)) emptyImage(DATA_IMAGE, DATA_BYTES);
process.stdout.write("Ctrl-A X ends QEMU; dom0's /data stays for the next boot.\n");
startQemuHere().once('exit', (code) => process.exit(code ?? 1));
