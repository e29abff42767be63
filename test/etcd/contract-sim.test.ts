/** The simulation's etcd keeps the contract that the real one keeps: what is shown on it holds there. */
import { simEtcd } from '../simulation/sim-etcd';
import { describeEtcd } from './contract';

describeEtcd('the simulation', async () => {
  // Each prefix is a cluster of its own: the double has no others to be kept apart from.
  let advance: (delayMs: number) => Promise<void> = async () => undefined;
  return {
    open: async () => {
      const { etcd, time } = simEtcd();
      advance = (delayMs) => time.advance(delayMs);
      return etcd;
    },
    sleep: (delayMs) => advance(delayMs),
  };
});
