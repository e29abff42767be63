/** A guest on a pool that etcd coordinates: its file system, and the take-over by a second process. */
import { type Case, PLUGGED, poolFile } from '../lab/case';
import { markerOf } from '../lab/daemon';
import { ETCD_MEMBERS, startEtcd } from '../lab/etcd';
import { killedUnderLoad } from './deaths';
import { fileSystemHolds } from './file-system';

const POOL = 'shared';
const LEASE_SECONDS = 10;

export const etcdPool: Case = async (site) => {
  const { lab } = site;
  await startEtcd(lab);
  if ((await lab.run(`[ -e ${poolFile(POOL)} ]`)).status !== 0) {
    const settings = `--etcd ${ETCD_MEMBERS} --lease-ttl ${LEASE_SECONDS}`;
    await lab.dom0(`tapdisk-ts pool create ${POOL} --path /data/${POOL} ${settings}`);
  }
  const volume = await site.volume('64M', { pool: POOL });
  // Loading gRPC takes the daemon longer in emulation than libxl waits for a new disk.
  await markerOf(lab, volume);
  const guest = await site.plug(volume);
  await fileSystemHolds(guest, PLUGGED);
  await site.unplug();
  const longest = await killedUnderLoad(site, volume);
  return (
    'three members in dom0, ext4 compared and checked; the process killed under load: ' +
    `no I/O error, verify passes, the guest's longest request ${longest.toFixed(2)} s`
  );
};
