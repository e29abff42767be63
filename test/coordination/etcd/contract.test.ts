import { describeCoordination } from '../contract';
import { makeEtcdPool, simCluster } from './etcd-pool';

describeCoordination('etcd, simulated', () => makeEtcdPool(simCluster()));
