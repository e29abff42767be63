/** Xen's devices where there is no Xen; what they do is tested in the lab. */
import { existsSync } from 'node:fs';
import { openEventChannels } from '../../native-bindings/evtchn';
import { openGrantDevice } from '../../native-bindings/gntdev';
import { thrownBy } from './thrown-by';

const onXen = existsSync('/dev/xen/gntdev');
if (onXen) console.log('xen-devices.test.ts: skipped, this host has Xen');

(onXen ? describe.skip : describe)('without Xen', () => {
  it.each([
    [openGrantDevice, '/dev/xen/gntdev', 'xen-gntdev'],
    [openEventChannels, '/dev/xen/evtchn', 'xen-evtchn'],
  ])('XEN_DEVICE_UNUSABLE names the device and its module', (open, path, module) => {
    expect(thrownBy<unknown>(open)).toMatchObject({
      code: 'XEN_DEVICE_UNUSABLE',
      message: expect.stringMatching(`${path} cannot be opened \\(ENOENT\\).*${module}`) as string,
    });
  });
});
