/** Our own command gives a running guest a disk, without xl, and takes it away. */
import { type Case, deviceIsThere, sharedGuest } from '../lab/case';
import { fileSystemHolds } from './file-system';

const DEVICE = '/dev/xvdc';

export const attachDomain: Case = async (site) => {
  const { lab } = site;
  const guest = await sharedGuest(lab);
  const volume = await site.volume('64M');
  await lab.dom0(`tapdisk-ts attach ${volume} --domain ${guest.name} --device xvdc`);
  await deviceIsThere(guest, DEVICE);
  await fileSystemHolds(guest, DEVICE);
  await lab.dom0(`tapdisk-ts detach ${volume}`);
  await guest.sh(`for i in $(seq 50); do [ -b ${DEVICE} ] || exit 0; sleep 0.2; done; exit 1`);
  return 'attach --domain, ext4 compared and checked, detach';
};
