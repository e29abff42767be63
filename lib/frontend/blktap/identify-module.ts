/** Which kernel module a ring's character device belongs to. */
import { TapdiskError } from '../../errors';
import type { FrontendKind } from '../frontend';
import { BLKTAP1_DRIVER, BLKTAP2_DRIVER } from './blktap-abi';
import type { BlktapSyscalls } from './blktap-syscalls';

export interface IdentifiedModule {
  readonly kind: Exclude<FrontendKind, 'shm' | 'xen'>;
  /** The VBD's number, from the node. */
  readonly minor: number;
}

/**
 * By the driver that /proc/devices names for the node's major number; and OpenXT's blktap2 by its
 * `pause` attribute in sysfs, which XenServer's lacks.
 *
 * @throws TapdiskError DEVICE_NOT_FOUND, BLKTAP_NOT_A_RING
 */
export function identifyModule(path: string, system: BlktapSyscalls): IdentifiedModule {
  const node = system.characterDevice(path);
  if (node === undefined) {
    throw new TapdiskError(
      'DEVICE_NOT_FOUND',
      `${path} is not a character device; is the blktap module loaded?`,
    );
  }
  const driver = characterDrivers(system).get(node.major);
  const { minor } = node;
  if (driver === BLKTAP1_DRIVER && minor > 0) return { kind: 'blktap1', minor };
  if (driver === BLKTAP2_DRIVER) {
    const hasPause = sysfsAttributes(minor, 'pause').some((name) => system.exists(name));
    return { kind: hasPause ? 'blktap2-openxt' : 'blktap2-xenserver', minor };
  }
  throw new TapdiskError(
    'BLKTAP_NOT_A_RING',
    `${path} (character device ${node.major}:${minor}) belongs to ` +
      `${driver === undefined ? 'no driver of /proc/devices' : `the driver '${driver}'`}, ` +
      `which has no ring there; name the ring's own device.`,
  );
}

/** Where an attribute of a blktap2 ring may be: under the spelling of XenServer 8, or of the others. */
export function sysfsAttributes(minor: number, attribute: string): string[] {
  return ['blktap!blktap', 'blktap'].map(
    (name) => `/sys/class/blktap2/${name}${minor}/${attribute}`,
  );
}

/** Driver names by major number, from the first part of /proc/devices. */
function characterDrivers(system: BlktapSyscalls): Map<number, string> {
  const text = system.readText('/proc/devices') ?? '';
  const drivers = new Map<number, string>();
  for (const line of text.split('Block devices:')[0].split('\n')) {
    const match = /^\s*(\d+)\s+(\S+)\s*$/.exec(line);
    if (match !== null) drivers.set(Number(match[1]), match[2]);
  }
  return drivers;
}
