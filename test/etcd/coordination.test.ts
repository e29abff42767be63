/** Coordination keeps its contract on a real etcd too. */
import { openEtcd } from '../../lib/etcd/open-etcd';
import { describeCoordination } from '../coordination/contract';
import { makeEtcdPool } from '../coordination/etcd/etcd-pool';
import { RealEtcd } from './real-etcd';
import { whereRealEtcd } from './require-real';

jest.setTimeout(60_000);

whereRealEtcd('on three members', () => {
  let cluster: RealEtcd;
  let pools = 0;

  beforeAll(async () => {
    cluster = await RealEtcd.start({ members: 3 });
  });
  afterAll(() => cluster.stop());

  describeCoordination('etcd', () => {
    const prefix = `/coordination-${++pools}/`;
    return makeEtcdPool({
      connect: () => openEtcd({ endpoints: cluster.endpoints, prefix }, {}),
      dispose: async () => {},
    });
  });
});
