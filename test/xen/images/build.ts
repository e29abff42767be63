/** `make xen-lab`: builds what the lab boots, each part only where what it is made of has changed. */
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { BOOT_INITRD, LAB, PROJECT_IMAGE, ROOT_IMAGE, SOURCES, XEN } from '../lab/paths';
import { buildBootInitrd } from './boot-initrd';
import { indexModules, unpackKernels } from './kernel';
import { unpackPackages } from './packages';
import { buildProjectImage, projectSources } from './project-image';
import { buildRootImage } from './root-image';
import { keyOf, whenChanged } from './stamp';

function main(): void {
  mkdirSync(LAB, { recursive: true });
  const packages = unpackPackages();
  whenChanged(XEN, packages, () => {
    indexModules();
    unpackKernels();
  });
  const builders = __dirname;
  const dom0 = path.join(SOURCES, 'dom0');
  const boot = keyOf({ texts: [packages], files: [builders, dom0] });
  whenChanged(BOOT_INITRD, boot, buildBootInitrd);
  const root = keyOf({ texts: [boot, process.version], files: [path.join(SOURCES, 'guest')] });
  whenChanged(ROOT_IMAGE, root, buildRootImage);
  whenChanged(PROJECT_IMAGE, keyOf({ files: projectSources() }), buildProjectImage);
}

main();
