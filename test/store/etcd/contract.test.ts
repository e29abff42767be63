/** The etcd store keeps the contract, on an etcd in memory. */
import { openEtcdStore } from '../../../lib/store/etcd/etcd-store';
import { simEtcdInRealTime } from '../../simulation/sim-etcd';
import { chunkStoreContract } from '../contract';

chunkStoreContract((chunkBytes) => openEtcdStore({ ...simEtcdInRealTime(), chunkBytes }));
