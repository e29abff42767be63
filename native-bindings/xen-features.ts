/** What of Xen and of blktap this host offers: the sources that requests can come from. */
import type { HostFeature } from './host-features';
import type { HostFiles } from './host-files';

/** Names that kernels and toolstacks give blktap2's control node. */
const BLKTAP2_MISC_NAMES = ['blktap/control', 'blktap-control'];
const BLKTAP2_CONTROL_NODES = [
  '/dev/xen/blktap-2/control',
  '/dev/blktap/control',
  '/dev/blktap-control',
];
const BLKTAP1_CONTROL_NODE = '/dev/xen/blktap0';
const XENSTORED_SOCKETS = ['/run/xenstored/socket', '/var/run/xenstored/socket'];

export function xenFeatures(files: HostFiles): HostFeature[] {
  return [
    hypervisor(files),
    xenstored(files),
    device(files, 'gntdev', "mapping a guest's memory; modprobe xen-gntdev"),
    device(files, 'evtchn', "hearing a guest's kicks; modprobe xen-evtchn"),
    blktap1(files),
    blktap2(files),
  ];
}

function hypervisor(files: HostFiles): HostFeature {
  const type = files.text('/sys/hypervisor/type');
  const capabilities = files.text('/proc/xen/capabilities') ?? '';
  const isControlDomain = capabilities.includes('control_d');
  const domain = isControlDomain ? 'the control domain' : 'a guest, or xenfs is not mounted';
  return {
    name: 'xen',
    present: type === 'xen' && isControlDomain,
    required: false,
    found: type === 'xen' ? `under Xen, ${domain}` : 'not under Xen',
    missingFor: 'serving guests; shm: rings work without it',
  };
}

function xenstored(files: HostFiles): HostFeature {
  const socket = XENSTORED_SOCKETS.find((path) => files.exists(path));
  return {
    name: 'xenstored',
    present: socket !== undefined,
    required: false,
    found: socket ?? `no ${XENSTORED_SOCKETS[0]}`,
    missingFor: 'finding the disks that a toolstack asks for; start xenstored',
  };
}

function device(files: HostFiles, name: string, missingFor: string): HostFeature {
  return { name, required: false, missingFor, ...usable(files, [`/dev/xen/${name}`]) };
}

function blktap1(files: HostFiles): HostFeature {
  const major = files.characterMajor('blktap');
  const node = usable(files, [BLKTAP1_CONTROL_NODE]);
  return {
    name: 'blktap1',
    present: major !== null && node.present,
    required: false,
    found:
      major === null ? 'no driver of that name in the kernel' : `major ${major}, ${node.found}`,
    missingFor: 'rings of a blktap1 kernel (blktapctrl, xend)',
  };
}

function blktap2(files: HostFiles): HostFeature {
  const major = files.characterMajor('blktap2');
  const misc = BLKTAP2_MISC_NAMES.find((name) => files.miscMinor(name) !== null);
  const node = usable(files, BLKTAP2_CONTROL_NODES);
  const control = misc === undefined ? '' : `misc device ${misc} ${files.miscMinor(misc)}, `;
  return {
    name: 'blktap2',
    present: major !== null && node.present,
    required: false,
    found:
      major === null
        ? 'no driver of that name in the kernel'
        : `major ${major}, ${control}${node.found}`,
    missingFor: 'rings of a blktap2 kernel (XenServer, XCP-ng); modprobe blktap',
  };
}

/** The first of some nodes that this user may use. */
function usable(files: HostFiles, paths: readonly string[]): { present: boolean; found: string } {
  const usablePath = paths.find((path) => files.mayUse(path));
  if (usablePath !== undefined) return { present: true, found: usablePath };
  const forbidden = paths.find((path) => files.exists(path));
  if (forbidden !== undefined) return { present: false, found: `${forbidden} is not ours to use` };
  return { present: false, found: `no ${paths.join(', no ')}` };
}
