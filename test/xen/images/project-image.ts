/** What `make install` puts on a host, as an image of its own: it changes with every build. */
import { cpSync } from 'node:fs';
import path from 'node:path';
import { PROJECT_ROOT } from '../../project-root';
import { inLab, PROJECT_IMAGE } from '../lab/paths';
import { imageOfDirectory } from './disk-image';
import { run } from './shell';

/** The lab's own part that runs in dom0; it needs nothing but Node. */
const AGENT = path.join(PROJECT_ROOT, 'dist', 'test', 'xen', 'agent');

/** Stays, so that the next installation has its packages already. */
const INSTALLED = inLab('project');

export function buildProjectImage(): void {
  const make = ['make', '--no-print-directory', 'install'];
  run([...make, `DESTDIR=${INSTALLED}`, 'PREFIX=/usr/local'], { cwd: PROJECT_ROOT });
  cpSync(AGENT, path.join(INSTALLED, 'lab', 'agent'), { recursive: true });
  imageOfDirectory(PROJECT_IMAGE, INSTALLED);
}

export const projectSources = (): string[] =>
  [
    'bin',
    'dist/lib',
    'dist/native-bindings',
    'dist/test/xen/agent',
    'package-lock.json',
    'Makefile',
  ].map((name) => path.join(PROJECT_ROOT, name));
