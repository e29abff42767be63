/** ALLOC_TAP and FREE_TAP on blktap2's control node, by whichever name this kernel gives it. */
import { errnoOf, sentenceOf, TapdiskError } from '../../errors';
import { IOCTL_ALLOC_TAP, IOCTL_FREE_TAP } from './blktap-abi';
import type { BlktapSyscalls } from './blktap-syscalls';

/** mknod'ed by tap-ctl; XenServer 8's devtmpfs; OpenXT's and XenServer 6's devtmpfs. */
export const CONTROL_NODES = [
  '/dev/xen/blktap-2/control',
  '/dev/blktap/control',
  '/dev/blktap-control',
];

/** What ALLOC_TAP answers. */
export interface AllocatedTap {
  readonly ringMajor: number;
  readonly blockMajor: number;
  /** Of the ring and the block device alike. */
  readonly minor: number;
}

/**
 * Allocates a ring; its character device exists from here on, its block device from CREATE_DEVICE.
 *
 * @throws TapdiskError BLKTAP_NO_CONTROL, BLKTAP_CONTROL_FAILED
 */
export function allocateTap(system: BlktapSyscalls): AllocatedTap {
  const answer = Buffer.alloc(12);
  withControl(system, (fd) => system.ioctlBuffer(fd, IOCTL_ALLOC_TAP, answer));
  return {
    ringMajor: answer.readUInt32LE(0),
    blockMajor: answer.readUInt32LE(4),
    minor: answer.readUInt32LE(8),
  };
}

/**
 * Frees a ring whose server has closed it. As long as one serves it, XenServer's module answers
 * 'in-use'; OpenXT's waits until no request is in flight, then asks the server, by the ring's
 * message byte, to close. So a server must not call this for a ring of its own: it would wait for
 * itself.
 *
 * @throws TapdiskError BLKTAP_NO_CONTROL, BLKTAP_CONTROL_FAILED
 */
export function freeTap(system: BlktapSyscalls, minor: number): 'freed' | 'in-use' | 'unknown' {
  let answer: 'freed' | 'in-use' | 'unknown' = 'freed';
  withControl(system, (fd) => {
    try {
      system.ioctl(fd, IOCTL_FREE_TAP, minor);
    } catch (error) {
      if (errnoOf(error) === 'EBUSY') answer = 'in-use';
      else if (errnoOf(error) === 'ENODEV') answer = 'unknown';
      else throw error;
    }
  });
  return answer;
}

function withControl(system: BlktapSyscalls, use: (fd: number) => void): void {
  const path = CONTROL_NODES.find((node) => system.characterDevice(node) !== undefined);
  if (path === undefined) {
    throw new TapdiskError(
      'BLKTAP_NO_CONTROL',
      `No blktap2 control node: none of ${CONTROL_NODES.join(', ')} is there; load the blktap2 module.`,
    );
  }
  try {
    const fd = system.open(path);
    try {
      use(fd);
    } finally {
      system.close(fd);
    }
  } catch (error) {
    throw new TapdiskError(
      'BLKTAP_CONTROL_FAILED',
      `${path} refused: ${sentenceOf(error)}; is this process root?`,
      { cause: error },
    );
  }
}
