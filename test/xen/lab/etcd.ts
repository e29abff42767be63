/** An etcd cluster of three members in dom0, for pools that several hosts could share. */
import type { Lab } from './lab';

const MEMBERS = [0, 1, 2];
const START_TIMEOUT_MS = 120_000;
/** Emulated processors are slow enough for an election to be lost by etcd's own 100 and 1000 ms. */
const TIMING = '--heartbeat-interval=500 --election-timeout=5000';

const clientUrl = (member: number): string => `http://127.0.0.1:${2379 + 2 * member}`;
const peerUrl = (member: number): string => `http://127.0.0.1:${2380 + 2 * member}`;

/** As `--etcd` takes them. */
export const ETCD_MEMBERS = MEMBERS.map(clientUrl).join(',');

/** Starts those members that do not run, and waits until the cluster has a leader. */
export async function startEtcd(lab: Lab): Promise<void> {
  const cluster = MEMBERS.map((member) => `m${member}=${peerUrl(member)}`).join(',');
  const starts = MEMBERS.map((member) => {
    const directory = `/data/etcd/m${member}`;
    const options = [
      `--name=m${member} --data-dir=${directory} --initial-cluster=${cluster} ${TIMING}`,
      `--listen-client-urls=${clientUrl(member)} --advertise-client-urls=${clientUrl(member)}`,
      `--listen-peer-urls=${peerUrl(member)} --initial-advertise-peer-urls=${peerUrl(member)}`,
    ];
    const pidFile = `/run/etcd-m${member}.pid`;
    return (
      `mkdir -p -m 700 ${directory}; kill -0 $(cat ${pidFile}) || { ` +
      `setsid etcd ${options.join(' ')} >/var/log/etcd-m${member}.log 2>&1 </dev/null & ` +
      `echo $! >${pidFile}; }`
    );
  });
  await lab.dom0(starts.join('\n'));
  const healthy = `etcdctl --endpoints=${ETCD_MEMBERS} endpoint health`;
  await lab.until('all members of etcd are healthy', healthy, START_TIMEOUT_MS);
}
