/** `tapdisk-ts pool status`: how a pool is: its cluster, its owners, who stands by. */
import type { MemberStatus } from '../../etcd/etcd';
import { type PoolHolder, poolStatus as lookAtPool, type PoolStatus } from '../../pool/pool-status';
import { type CommandContext, defineCommand } from '../command';
import { EXIT_OK, EXIT_REFUSED } from '../failure';
import { formatSize } from '../sizes';

export const command = defineCommand({
  examples: [
    ['tapdisk-ts pool status main', 'Ends with 1 where the cluster has no quorum'],
    ['tapdisk-ts pool status main --json', 'For a monitoring program'],
  ],
  options: (yargs) =>
    yargs.positional('pool', { type: 'string', demandOption: true, describe: 'Name of a pool' }),
  async run({ pool: name }, context) {
    const status = await lookAtPool(name, { env: context.io.env });
    show(status, context);
    return status.failures.length > 0 || status.cluster?.quorum === false ? EXIT_REFUSED : EXIT_OK;
  },
});

function show(status: PoolStatus, { io, output }: CommandContext): void {
  const { cluster, freeBytes, failures } = status;
  output.facts(status, [
    ['pool', status.name],
    ['store', status.store],
    ['coordination', status.coordination],
    ...(status.path === null ? [] : [['path', status.path] as const]),
    ...(freeBytes === null ? [] : [['free', formatSize(freeBytes)] as const]),
    ...(cluster === null ? [] : clusterFacts(cluster)),
    ...status.hosts.map(({ host, pids }) => ['host', `${host} (${pids.join(', ')})`] as const),
  ]);
  if (!output.json) {
    if (cluster !== null) {
      io.out('\n');
      output.table(MEMBER_COLUMNS, cluster.members);
    }
    const holders = [
      ...status.owners.map((holder) => ({ ...holder, role: holder.readOnly ? 'reader' : 'owner' })),
      ...status.standbys.map((holder) => ({ ...holder, role: 'standby' })),
    ];
    if (holders.length > 0) {
      io.out('\n');
      output.table(HOLDER_COLUMNS, holders);
    }
  }
  for (const failure of failures) output.note(`tapdisk-ts: ${failure}`);
}

type Cluster = NonNullable<PoolStatus['cluster']>;

function clusterFacts({ prefix, quorum, alarms }: Cluster): (readonly [string, string])[] {
  return [
    ['prefix', prefix],
    ['quorum', quorum ? 'yes' : 'NO: volumes stall until a majority of the members is back'],
    ...alarms.map(({ alarm, memberId }) => ['alarm', `${alarm} at member ${memberId}`] as const),
  ];
}

function shareOfQuota(status: MemberStatus['status']): string {
  if (status === null || status.quotaBytes === null) return '-';
  const percent = Math.ceil((100 * status.databaseBytes) / status.quotaBytes);
  return `${percent} % of ${formatSize(status.quotaBytes)}`;
}

const MEMBER_COLUMNS = [
  { head: 'MEMBER', text: (member: MemberStatus) => member.endpoint },
  { head: 'ID', text: ({ status }: MemberStatus) => status?.memberId ?? '-' },
  { head: 'VERSION', text: ({ status }: MemberStatus) => status?.version ?? '-' },
  { head: 'LEADER', text: ({ status }: MemberStatus) => (status?.isLeader ? 'yes' : '-') },
  {
    head: 'MS',
    text: ({ status }: MemberStatus) => status?.latencyMs.toFixed(1) ?? '-',
    align: 'right',
  },
  {
    head: 'DATABASE',
    text: ({ status }: MemberStatus) => (status === null ? '-' : formatSize(status.databaseBytes)),
    align: 'right',
  },
  {
    head: 'IN USE',
    text: ({ status }: MemberStatus) =>
      status === null ? '-' : formatSize(status.databaseUsedBytes),
    align: 'right',
  },
  {
    head: 'OF QUOTA',
    text: ({ status }: MemberStatus) => shareOfQuota(status),
    align: 'right',
  },
  { head: 'ERROR', text: ({ error }: MemberStatus) => error ?? '-' },
] as const;

type Holder = PoolHolder & { readonly role: string };

const HOLDER_COLUMNS = [
  { head: 'VOLUME', text: ({ volume }: Holder) => volume },
  { head: 'ROLE', text: ({ role }: Holder) => role },
  { head: 'HOST', text: ({ host }: Holder) => host },
  { head: 'PID', text: ({ pid }: Holder) => String(pid), align: 'right' },
  { head: 'EPOCH', text: ({ epoch }: Holder) => String(epoch), align: 'right' },
  { head: 'SINCE', text: ({ attachedAt }: Holder) => attachedAt ?? '-' },
  {
    head: 'LEASE LEFT',
    text: ({ leaseLeftMs }: Holder) =>
      leaseLeftMs === null ? '-' : `${(leaseLeftMs / 1000).toFixed(1)} s`,
    align: 'right',
  },
] as const;
