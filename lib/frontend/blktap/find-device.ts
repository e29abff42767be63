/** From a VBD's minor number to the path of its ring: character device or stand-in. */
import { errnoOf, TapdiskError } from '../../errors';
import type { BlktapSyscalls } from './blktap-syscalls';

/** Where a ring is: a blktap character device, or the directory of a shared-memory stand-in. */
export interface RingLocation {
  readonly kind: 'character-device' | 'shm';
  readonly path: string;
}

/** Names the ring of every minor: `/dev/xen/blktap%d` or `shm:/run/rings/blktap%d`. */
export const DEVICE_TEMPLATE_VARIABLE = 'TAPDISK_TS_DEVICE';

/** Spellings in use: blktap1; blktap2 by tap-ctl's mknod, XenServer's and OpenXT's kernels. */
const KNOWN_SPELLINGS = [
  '/dev/xen/blktap%d',
  '/dev/xen/blktap-2/blktap%d',
  '/dev/blktap/blktap%d',
  '/dev/blktap%d',
];

const SHM_PREFIX = 'shm:';

/** Parses `shm:/dir`, or the path of a character device. */
export function parseRingLocation(text: string): RingLocation {
  return text.startsWith(SHM_PREFIX)
    ? { kind: 'shm', path: text.slice(SHM_PREFIX.length) }
    : { kind: 'character-device', path: text };
}

/**
 * Finds the ring of a minor.
 *
 * @throws TapdiskError DEVICE_TEMPLATE_INVALID, DEVICE_NOT_FOUND, DEVICE_FORBIDDEN
 */
export function findDevice(
  minor: number,
  system: Pick<BlktapSyscalls, 'characterDevice' | 'exists'>,
  template: string | undefined = process.env[DEVICE_TEMPLATE_VARIABLE],
): RingLocation {
  if (template !== undefined && template !== '') return fromTemplate(minor, system, template);
  const paths = KNOWN_SPELLINGS.map((spelling) => fill(spelling, minor));
  const path = paths.find((candidate) => isCharacterDevice(system, candidate));
  if (path !== undefined) return { kind: 'character-device', path };
  throw new TapdiskError(
    'DEVICE_NOT_FOUND',
    `No blktap device of minor ${minor}: none of ${paths.join(', ')} is a character device; ` +
      `load the kernel's blktap module, or set ${DEVICE_TEMPLATE_VARIABLE} ` +
      `(for example to shm:/run/tapdisk-ts/blktap%d) where the ring is elsewhere.`,
  );
}

function fromTemplate(
  minor: number,
  system: Pick<BlktapSyscalls, 'characterDevice' | 'exists'>,
  template: string,
): RingLocation {
  if (template.split('%d').length !== 2 || !parseRingLocation(template).path.startsWith('/')) {
    throw new TapdiskError(
      'DEVICE_TEMPLATE_INVALID',
      `${DEVICE_TEMPLATE_VARIABLE} is '${template}': it must hold an absolute path ` +
        `with one %d for the minor number, such as /dev/xen/blktap%d or shm:/run/rings/blktap%d.`,
    );
  }
  const location = parseRingLocation(fill(template, minor));
  const found =
    location.kind === 'shm'
      ? system.exists(location.path)
      : isCharacterDevice(system, location.path);
  if (found) return location;
  throw new TapdiskError(
    'DEVICE_NOT_FOUND',
    `No ring of minor ${minor} at ${location.path}, where ${DEVICE_TEMPLATE_VARIABLE} says it is; ` +
      (location.kind === 'shm' ? 'create the stand-in device first.' : 'is the module loaded?'),
  );
}

function isCharacterDevice(system: Pick<BlktapSyscalls, 'characterDevice'>, path: string): boolean {
  try {
    return system.characterDevice(path) !== undefined;
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    throw new TapdiskError(
      'DEVICE_FORBIDDEN',
      `${path} cannot be looked at (${errnoOf(error)}): run as the user who owns the device.`,
      { cause: error },
    );
  }
}

function fill(template: string, minor: number): string {
  return template.replace('%d', String(minor));
}
