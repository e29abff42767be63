/** A tapdisk process of the simulation: the real coordination, volume and VBD, and a guest on top. */
import { openEtcdCoordination } from '../../lib/coordination/etcd/etcd-coordination';
import type { ClusterProcess, HostIdentity } from '../../lib/coordination/etcd/host-identity';
import { stateKey } from '../../lib/coordination/etcd/keys';
import { decodeState } from '../../lib/coordination/etcd/values';
import type { Attachment, Coordination } from '../../lib/coordination/coordination';
import { FENCE_LOST, FENCE_OPEN, FENCE_WAITING } from '../../lib/fence';
import { Vbd } from '../../lib/vbd/vbd';
import { Volume } from '../../lib/volume/volume';
import type { Random } from '../volume/doubles/random';
import { FaultyNetwork, type Weather } from './faulty-network';
import type { PlantedBug } from './planted-bugs';
import type { Referee } from './referee';
import { type SharedDisk, SharedStore } from './shared-disk';
import { SimClock, type SimProcess } from './sim-clock';
import { SimEtcd } from './sim-etcd';
import { SimGuest } from './sim-guest';
import type { EtcdCluster } from './etcd-cluster';

export const VOLUME = 'disk';

export type Way = 'attach' | 'wait' | 'steal';

export interface OwnerSetting {
  readonly process: SimProcess;
  readonly identity: HostIdentity;
  readonly cluster: EtcdCluster;
  readonly disk: SharedDisk;
  readonly referee: Referee;
  readonly random: Random;
  readonly weather: () => Weather;
  readonly leaseTtlMs: number;
  readonly takeOverWaitMs: number;
  readonly chunkBytes: number;
  readonly bug: PlantedBug | null;
  readonly newValue: () => number;
  readonly newUuid: () => string;
  readonly note: (what: string) => void;
}

export class SimOwner {
  guest: SimGuest | null = null;
  /** Ready, and not the owner. */
  isStandby = false;
  readonly process: SimProcess;
  private attachment: Attachment | null = null;
  private vbd: Vbd | null = null;
  private isBusy = false;
  private readonly clock: SimClock;
  private readonly coordination: Coordination;
  private readonly network: FaultyNetwork;

  constructor(private readonly setting: OwnerSetting) {
    const { process, cluster, random, identity, bug } = setting;
    this.process = process;
    this.clock = new SimClock(process);
    this.network = new FaultyNetwork(process.host, random, setting.weather);
    const etcd = new SimEtcd(cluster, this.clock, this.network);
    etcd.onApplied = ({ success }, { succeeded }) => {
      const isCommit = success.some((done) => 'put' in done && done.put.key.startsWith('map/'));
      if (succeeded && isCommit) this.committed();
    };
    this.coordination = openEtcdCoordination({
      etcd: bug?.etcd?.(etcd) ?? etcd,
      clock: this.clock,
      host: identity,
      settings: {
        leaseTtlMs: setting.leaseTtlMs,
        takeOverWaitMs: bug?.takeOverWaitMs ?? setting.takeOverWaitMs,
        storeFences: false,
      },
      newUuid: setting.newUuid,
      random: () => random.next(),
    });
  }

  get isServing(): boolean {
    return this.guest !== null && !this.isBusy && this.process.isAlive;
  }

  get isLost(): boolean {
    return this.attachment?.fence?.state() === FENCE_LOST;
  }

  get isOpen(): boolean {
    return this.isServing && this.attachment?.fence?.state() === FENCE_OPEN;
  }

  /** Calls back when its next keep-alive is on its way. */
  atKeepAlive(action: () => void): void {
    this.network.onKeepAlive = action;
  }

  start(way: Way): void {
    this.process.deliver(() => void this.inProcess(() => this.run(way)));
  }

  /** Detaches, and ends. */
  close(): void {
    this.process.deliver(() => void this.inProcess(() => this.detach()));
  }

  handOver(to: string): void {
    this.process.deliver(() => void this.inProcess(() => this.giveTo(to)));
  }

  /** Ends what was done in the process where it fails: as a program that says why, and exits. */
  private async inProcess(action: () => Promise<void>): Promise<void> {
    try {
      await action();
    } catch (error) {
      const { code, message } = error as { code?: string; message: string };
      if (code === undefined || code === 'ASSERTION') this.setting.referee.fail(message);
      this.exit(code ?? message);
    }
  }

  private async run(way: Way): Promise<void> {
    const attachment = await this.attach(way);
    const { process, referee, random, disk, chunkBytes, bug, newValue, note } = this.setting;
    const { epoch } = attachment.record;
    this.attachment = bug?.attachment?.(attachment, this.clock) ?? attachment;
    note(
      `${this.name} has epoch ${epoch}${attachment.uncleanBefore ? ' after an unclean end' : ''}`,
    );
    const store = new SharedStore(disk, process, chunkBytes, epoch, (of, what) => {
      note(`${this.name}: a ${what} lands`);
      referee.landed(of, what);
    });
    const volume = await Volume.open({ attachment: this.attachment, store });
    this.vbd = new Vbd(volume);
    this.attachment.fence?.onChange((state) => this.fenceChanged(state));
    if (!(await this.isConfirmed())) return this.exit('lost before it began');
    note(`${this.name} serves`);
    if (attachment.uncleanBefore) referee.tally.takeOvers++;
    referee.serves(process, epoch);
    const { clock, vbd } = this;
    this.guest = new SimGuest({ process, clock, vbd, epoch, referee, random, newValue });
    this.guest.start();
  }

  /** It may have been stopped while it opened the volume: then its guest waits until it may serve. */
  private async isConfirmed(): Promise<boolean> {
    const fence = this.attachment!.fence!;
    if (fence.state() === FENCE_WAITING) {
      await new Promise<void>((resolve) => fence.onChange(() => resolve()));
    }
    return fence.state() === FENCE_OPEN;
  }

  private async attach(way: Way): Promise<Attachment> {
    if (way !== 'wait') {
      return this.coordination.attach(VOLUME, { readOnly: false, steal: way === 'steal' });
    }
    const standby = await this.coordination.standBy(VOLUME);
    this.isStandby = true;
    try {
      return await standby.attached;
    } finally {
      this.isStandby = false;
    }
  }

  private async detach(): Promise<void> {
    const { vbd } = this;
    if (vbd === null || this.isBusy) return;
    this.isBusy = true;
    this.guest?.quieten();
    await vbd.close();
    this.exit('detached');
  }

  private async giveTo(to: string): Promise<void> {
    const { vbd } = this;
    if (vbd === null || this.isBusy) return;
    this.isBusy = true;
    try {
      await vbd.pause();
      await vbd.handOver(to);
    } catch (error) {
      this.setting.note(`${this.name} goes on: ${(error as Error).message}`);
      vbd.resume();
      this.isBusy = false;
      return;
    }
    this.setting.referee.tally.handOvers++;
    this.exit(`handed over to ${to}`);
  }

  private fenceChanged(state: number): void {
    if (state !== FENCE_LOST || !this.process.isAlive) return;
    this.setting.referee.tally.losses++;
    this.setting.note(`${this.name} has lost the volume`);
    // An admin, or the toolstack, ends it some time.
    this.clock.setTimer(1000, () => this.exit('lost'));
  }

  private committed(): void {
    const epoch = this.attachment?.record.epoch;
    const found = this.setting.cluster.keys.get(stateKey(this.attachment?.record.uuid ?? ''));
    if (epoch === undefined || found === undefined) return;
    this.setting.referee.committed(epoch, decodeState(found).epoch);
  }

  get name(): string {
    return `${this.process.host.name}:${this.process.pid}`;
  }

  private exit(why: string): void {
    if (!this.process.isAlive) return;
    this.setting.note(`${this.name} ends: ${why}`);
    this.process.kill();
  }
}

/** Which processes are dead for certain, as one sees it from its own host and boot. */
export function identityOf(
  process: SimProcess,
  bootId: string,
  isDead: (host: string, bootId: string, pid: number) => boolean,
): HostIdentity {
  const self: ClusterProcess = {
    host: process.host.name,
    bootId,
    pidNamespace: 'pid:[1]',
    pid: process.pid,
    startTime: String(process.pid),
  };
  return {
    ...self,
    isDead: (other) =>
      other.host === self.host &&
      other.bootId === bootId &&
      isDead(other.host, other.bootId, other.pid),
  };
}
