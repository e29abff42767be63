/** Xen's devices where there is no Xen; what they do is tested in the lab. */
import { existsSync } from 'node:fs';
import { openEventChannels } from '../../native-bindings/evtchn';
import { openGrantDevice } from '../../native-bindings/gntdev';
import { describeWhere } from '../where';
import { thrownBy } from './thrown-by';

const xenHere = existsSync('/dev/xen/gntdev') ? 'this host has Xen' : null;

describeWhere(xenHere, 'opening Xen devices without Xen')('without Xen', () => {
  it.each([
    [openGrantDevice, '/dev/xen/gntdev', 'xen-gntdev'],
    [openEventChannels, '/dev/xen/evtchn', 'xen-evtchn'],
  ])('XEN_DEVICE_UNUSABLE names the device and its module', (open, path, module) => {
    expect(thrownBy(open)).toMatchObject({
      code: 'XEN_DEVICE_UNUSABLE',
      message: expect.stringMatching(`${path} cannot be opened \\(ENOENT\\).*${module}`) as string,
    });
  });
});
