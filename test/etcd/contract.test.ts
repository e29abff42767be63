/** The real etcd keeps its contract: one member, three members, and with TLS and users. */
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ClusterConfig } from '../../lib/etcd/cluster-config';
import { openEtcd } from '../../lib/etcd/open-etcd';
import { Authority } from './certificates';
import { type ContractKind, describeEtcd } from './contract';
import { RealEtcd, type RealEtcdSetting } from './real-etcd';
import { whereRealEtcd } from './require-real';
import { temporaryDirectory } from './temporary-directory';

jest.setTimeout(60_000);

const clusters: RealEtcd[] = [];
afterAll(async () => {
  for (const cluster of clusters) await cluster.stop();
});

async function startKind(
  setting: RealEtcdSetting,
  access: Partial<ClusterConfig> = {},
): Promise<ContractKind & { cluster: RealEtcd }> {
  const cluster = await RealEtcd.start(setting);
  clusters.push(cluster);
  return {
    cluster,
    open: (prefix) => openEtcd({ endpoints: cluster.endpoints, prefix, ...access }, {}),
    sleep: (delayMs) => sleep(delayMs),
  };
}

async function startSecure(): Promise<ContractKind> {
  const authority = new Authority(join(temporaryDirectory(), 'authority'));
  const client = authority.issue('client');
  const directory = temporaryDirectory();
  const passwordFile = join(directory, 'password');
  writeFileSync(passwordFile, 'open sesame\n');
  for (const secret of [passwordFile, client.keyFile]) chmodSync(secret, 0o600);
  const { caFile } = authority;
  const kind = await startKind(
    { tls: { caFile, client, certificateOf: () => authority.issue('member') } },
    { tls: { caFile, ...client }, user: 'tapdisk', passwordFile },
  );
  await kind.cluster.addUser('tapdisk', 'open sesame', '/contract/');
  return kind;
}

whereRealEtcd('really', () => {
  describeEtcd('one member', () => startKind({ members: 1 }));
  describeEtcd('three members', () => startKind({ members: 3 }));
  describeEtcd('with TLS, certificates and users', startSecure);
});
