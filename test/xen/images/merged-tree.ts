/** The top of a Debian 12 system: what was /bin, /sbin, /lib and /lib64 is below /usr. */
import { mkdirSync, symlinkSync } from 'node:fs';
import path from 'node:path';

const MERGED = ['bin', 'sbin', 'lib', 'lib64'];

export function makeMergedTree(root: string): void {
  for (const name of MERGED) {
    mkdirSync(path.join(root, 'usr', name), { recursive: true });
    symlinkSync(`usr/${name}`, path.join(root, name));
  }
}
