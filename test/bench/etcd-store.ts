/** Starts three etcd members on loopback and prints what the etcd store gets of them. */
import { RealEtcd } from '../etcd/real-etcd';
import { etcdStoreRatios } from './etcd-store-ratio';

const DEPTHS = [1, 16, 32];
const DURATION_MS = 6000;
const GOAL = 0.9;

async function main(): Promise<void> {
  const cluster = await RealEtcd.start({ members: 3 });
  try {
    const { endpoints } = cluster;
    const ratios = await etcdStoreRatios({ endpoints, depths: DEPTHS, durationMs: DURATION_MS });
    for (const { operation, depth, storePerSecond, rawPerSecond, ratio, spread } of ratios) {
      console.log(
        `64 KiB ${operation} depth ${depth}: store ${storePerSecond.toFixed(0)}/s, ` +
          `raw ${rawPerSecond.toFixed(0)}/s, ratio ${ratio.toFixed(2)} ±${(100 * spread).toFixed(0)} % (goal ${GOAL})`,
      );
    }
  } finally {
    await cluster.stop();
  }
}

void main();
