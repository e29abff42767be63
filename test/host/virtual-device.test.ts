/** Names of virtual disks have the numbers of xen-vbd-interface(7). */
import { virtualDeviceNumber } from '../../lib/host/virtual-device';

test.each([
  ['xvda', 51712],
  ['xvda1', 51713],
  ['xvdb', 51728],
  ['xvdp15', 51967],
  ['xvda16', 268435472],
  ['xvdq', 268439552],
  ['xvdaa', 268442112],
  ['d0', 51712],
  ['d16p1', 268439553],
  ['hda', 768],
  ['hdb3', 835],
  ['hdc', 5632],
  ['sda', 2048],
  ['sdb1', 2065],
])('%s is %i', (name, number) => {
  expect(virtualDeviceNumber(name)).toBe(number);
});

test.each([
  '',
  'xvd',
  'xvda0',
  'XVDA',
  'sdq',
  'sda16',
  'hde',
  'vda',
  'xvda100',
  '/dev/xvda',
  'd1p256',
])('VIRTUAL_DEVICE_INVALID: %j', (name) => {
  expect(() => virtualDeviceNumber(name)).toThrow(
    expect.objectContaining({ code: 'VIRTUAL_DEVICE_INVALID' }) as Error,
  );
});
