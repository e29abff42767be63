/**
 * One history from one seed: owners on three hosts, an etcd cluster, a shared directory, operators,
 * and everything that can go wrong between them. At last the faults end, and somebody must serve.
 */
import { SimEtcd } from './sim-etcd';
import { EtcdCluster } from './etcd-cluster';
import { openEtcdCoordination } from '../../lib/coordination/etcd/etcd-coordination';
import { makePoolKeys } from '../../lib/coordination/etcd/pool-key';
import { SECTOR_BYTES } from '../../lib/sector';
import { Random } from '../volume/doubles/random';
import { FAIR, FOUL, type Weather } from './faulty-network';
import type { PlantedBug } from './planted-bugs';
import { Referee, type Tally } from './referee';
import { SharedDisk } from './shared-disk';
import { SimHost, SimProcess, virtualClock } from './sim-clock';
import { CHUNK_SECTORS, CHUNKS } from './sim-guest';
import { identityOf, SimOwner, VOLUME, type Way } from './sim-owner';
import { installVirtualTimers } from './virtual-timers';
import { VirtualTime } from './virtual-time';

const CHUNK_BYTES = CHUNK_SECTORS * SECTOR_BYTES;
const HOSTS = ['a', 'b', 'c'];
/** Processes at once. */
const OWNERS_MAX = 4;
const FAULTS_MS = 25_000;
/** After the last fault somebody must serve within so long, besides three leases and the wait. */
const LIVENESS_MS = 15_000;
/** After a quorum has come back the owner goes on within so long. */
const RECOVERY_MS = 2_000;
/** An owner that serves has its last reads answered within so long. */
const READ_BACK_MS = 20_000;

export interface SimulationOptions {
  readonly seed: number;
  readonly bug?: PlantedBug;
  /** Hears of everything that happens. */
  readonly trace?: (line: string) => void;
}

export interface SimulationResult {
  readonly tally: Tally;
  readonly events: number;
  /** What must not have been, or null. */
  readonly violation: string | null;
}

export async function simulate(options: SimulationOptions): Promise<SimulationResult> {
  const simulation = new Simulation(options);
  const restoreTimers = installVirtualTimers(simulation.time);
  try {
    await simulation.run();
  } finally {
    restoreTimers();
  }
  const { referee, time } = simulation;
  const violation = referee.violation?.message ?? null;
  return { tally: referee.tally, events: time.eventCount, violation };
}

/** A host with what the simulation does to it. */
interface Machine {
  readonly host: SimHost;
  boots: number;
  isDown: boolean;
}

class Simulation {
  readonly time: VirtualTime;
  readonly referee = new Referee(CHUNKS * CHUNK_SECTORS);
  private readonly random: Random;
  private readonly cluster: EtcdCluster;
  private readonly disk: SharedDisk;
  private readonly machines: readonly Machine[];
  private readonly leaseTtlMs: number;
  private readonly takeOverWaitMs: number;
  private owners: SimOwner[] = [];
  private weather: Weather = FAIR;
  private pids = 100;
  private uuids = 0;
  private values = 1;
  private isOver = false;
  private faultCount = 0;
  private quietUntilMs = 0;
  private readonly bootOf = new Map<SimProcess, string>();

  constructor(private readonly options: SimulationOptions) {
    this.time = new VirtualTime(options.seed);
    const { random } = this.time;
    this.random = random;
    this.cluster = new EtcdCluster(this.time, random);
    this.leaseTtlMs = random.pick([2000, 3000, 5000, 10_000]);
    this.takeOverWaitMs = random.pick([500, 1000, 3000]);
    // A host's clock may be fast by 1 %, which shortens the wait.
    this.disk = new SharedDisk(random, this.takeOverWaitMs * 0.95);
    this.machines = HOSTS.map((name) => ({
      host: new SimHost(name, this.time, random.pick([0.99, 1, 1.01]), random.below(1e7)),
      boots: 1,
      isDown: false,
    }));
  }

  async run(): Promise<void> {
    await this.makeVolume();
    this.spawn('attach', this.machines[0]);
    this.spawn('wait', this.machines[1]);
    this.goOn();
    await this.until(() => false, FAULTS_MS);
    this.isOver = true;
    if (this.referee.violation !== null) return;
    this.heal();
    await this.checkLiveness();
  }

  private async makeVolume(): Promise<void> {
    const clock = virtualClock(this.time);
    const etcd = new SimEtcd(this.cluster, clock);
    await makePoolKeys(etcd, clock, Buffer.from('simulated'));
    const identity = identityOf(new SimProcess(this.machines[0].host), 'boot', () => false);
    const newUuid = this.newUuid;
    const settings = { storeFences: false };
    const coordination = openEtcdCoordination({ etcd, clock, host: identity, settings, newUuid });
    const sizeBytes = CHUNKS * CHUNK_BYTES;
    const creation = coordination.create({ name: VOLUME, sizeBytes, chunkBytes: CHUNK_BYTES });
    await this.time.resolve(creation);
  }

  /** Something happens now, and then again. */
  private goOn(): void {
    if (this.isOver) return;
    this.time.schedule(100 + this.random.next() * 1900, () => {
      if (this.isOver) return;
      this.somethingHappens();
      this.goOn();
    });
  }

  private somethingHappens(): void {
    if (this.time.nowMs < this.quietUntilMs) return;
    const { random } = this;
    const dice = random.next();
    this.faultCount++;
    this.owners = this.owners.filter(({ process }) => process.isAlive);
    if (this.owners.length === 0) return this.spawn('attach');
    if (dice < 0.12) this.kill();
    else if (dice < 0.3) this.stop();
    else if (dice < 0.42) this.partition();
    else if (dice < 0.5) this.outage();
    else if (dice < 0.54) this.changeLeader();
    else if (dice < 0.6) this.powerCut();
    else if (dice < 0.7) this.changeWeather();
    else if (dice < 0.76) this.handOver();
    else if (dice < 0.79) this.detach();
    else if (dice < 0.83) this.spawn('steal');
    else this.spawn(random.pick<Way>(['attach', 'wait', 'wait']));
  }

  private spawn(way: Way, on?: Machine): void {
    if (this.owners.length >= OWNERS_MAX) return;
    const up = this.machines.filter(({ isDown }) => !isDown);
    if (up.length === 0) return;
    const machine = on ?? this.random.pick(up);
    const process = new SimProcess(machine.host, ++this.pids);
    const bootId = `${machine.host.name}${machine.boots}`;
    this.bootOf.set(process, bootId);
    const { leaseTtlMs, takeOverWaitMs, cluster, disk, referee, random } = this;
    const owner = new SimOwner({
      process,
      identity: identityOf(process, bootId, (_host, boot, pid) => this.isDead(boot, pid)),
      cluster,
      disk,
      referee,
      random,
      weather: () => this.weather,
      leaseTtlMs,
      takeOverWaitMs,
      chunkBytes: CHUNK_BYTES,
      bug: this.options.bug ?? null,
      newValue: () => this.values++,
      newUuid: this.newUuid,
      note: (what) => this.note(what),
    });
    if (way === 'steal') this.referee.tally.steals++;
    this.note(`${owner.name} starts: ${way}`);
    this.owners.push(owner);
    owner.start(way);
  }

  private isDead(bootId: string, pid: number): boolean {
    for (const [process, boot] of this.bootOf) {
      if (boot === bootId && process.pid === pid) return !process.isAlive;
    }
    return false;
  }

  private kill(): void {
    const owner = this.random.pick(this.owners);
    this.referee.tally.kills++;
    this.note(`${owner.name}: SIGKILL`);
    owner.process.kill();
  }

  /** At any instant, or at the worst: with a keep-alive on its way. */
  private stop(): void {
    const { random } = this;
    const owner = random.pick(this.owners);
    if (random.chance(0.5)) return this.stopNow(owner);
    owner.atKeepAlive(() => this.time.schedule(random.next(), () => this.stopNow(owner)));
  }

  private stopNow(owner: SimOwner): void {
    if (this.isOver || owner.process.isStopped || !owner.process.isAlive) return;
    this.faultCount++;
    const forMs = this.forAWhile();
    this.referee.tally.stops++;
    this.note(`${owner.name}: SIGSTOP for ${Math.round(forMs)} ms`);
    owner.process.stop();
    this.time.schedule(forMs, () => {
      if (!owner.process.isStopped) return;
      this.note(`${owner.name}: SIGCONT`);
      owner.process.continue();
    });
  }

  private partition(): void {
    const { host } = this.random.pick(this.machines);
    if (host.isPartitioned) return;
    const forMs = this.forAWhile();
    this.referee.tally.partitions++;
    this.note(`host ${host.name} is cut off for ${Math.round(forMs)} ms`);
    host.isPartitioned = true;
    this.time.schedule(forMs, () => (host.isPartitioned = false));
  }

  private outage(): void {
    if (this.cluster.outage !== null) return;
    const forMs = this.forAWhile();
    this.referee.tally.outages++;
    const outage = this.random.pick(['refuses', 'hangs'] as const);
    this.note(`etcd has no quorum for ${Math.round(forMs)} ms, and ${outage}`);
    this.cluster.fail(outage);
    this.time.schedule(forMs, () => {
      if (this.cluster.outage === null) return;
      this.note('etcd has a quorum again');
      this.cluster.recover();
      this.expectRecovery();
    });
  }

  /** Whoever served goes on soon, where nothing else is wrong. */
  private expectRecovery(): void {
    const { cluster, faultCount } = this;
    const owner = this.owners.find(({ process }) => process === this.referee.serving);
    const isWell = (): boolean =>
      owner?.isServing === true &&
      !owner.isLost &&
      !owner.process.isStopped &&
      !owner.process.host.isPartitioned &&
      this.weather === FAIR;
    if (!isWell()) return;
    // Else something nearly always comes between.
    if (this.random.chance(0.5)) this.quietUntilMs = this.time.nowMs + RECOVERY_MS + 1;
    this.time.schedule(RECOVERY_MS, () => {
      if (!isWell() || cluster.outage !== null || this.faultCount !== faultCount) return;
      this.referee.tally.recoveries++;
      if (owner!.isOpen) return;
      this.referee.fail(`${owner!.name} waits ${RECOVERY_MS} ms after the quorum came back`);
    });
  }

  private changeLeader(): void {
    if (this.cluster.outage !== null) return;
    this.note('etcd has a new leader');
    this.cluster.recover();
  }

  private powerCut(): void {
    const machine = this.random.pick(this.machines);
    if (machine.isDown) return;
    this.referee.tally.powerCuts++;
    this.note(`host ${machine.host.name} loses its power`);
    const isHit = (process: SimProcess): boolean => process.host === machine.host;
    for (const { process } of this.owners) if (isHit(process)) process.kill();
    this.disk.powerCut(isHit);
    this.referee.powerCut(isHit);
    machine.isDown = true;
    machine.boots++;
    this.time.schedule(1000 + this.random.next() * 4000, () => (machine.isDown = false));
  }

  private changeWeather(): void {
    this.weather = this.weather === FAIR ? FOUL : FAIR;
    this.note(this.weather === FAIR ? 'the network is sound' : 'the network is foul');
  }

  private handOver(): void {
    const owner = this.owners.find(({ isServing }) => isServing);
    const standby = this.owners.find(({ isStandby }) => isStandby);
    if (owner === undefined || standby === undefined) return;
    this.note(`${owner.name} is to hand over to ${standby.name}`);
    owner.handOver(standby.name);
  }

  private detach(): void {
    const owner = this.owners.find(({ isServing }) => isServing);
    if (owner === undefined) return;
    this.note(`${owner.name} is to detach`);
    owner.close();
  }

  private heal(): void {
    this.note('all faults end');
    this.weather = FAIR;
    if (this.cluster.outage !== null) this.cluster.recover();
    for (const machine of this.machines) {
      machine.host.isPartitioned = false;
      machine.isDown = false;
    }
    for (const { process } of this.owners) process.continue();
    this.owners = this.owners.filter(({ process }) => process.isAlive);
    if (this.owners.length === OWNERS_MAX) this.owners.pop()!.process.kill();
    this.spawn('wait');
  }

  /** Somebody serves, acknowledges, and shows what was acknowledged before. */
  private async checkLiveness(): Promise<void> {
    const { referee } = this;
    const withinMs = 3 * this.leaseTtlMs + this.takeOverWaitMs + LIVENESS_MS;
    const endMs = this.time.nowMs + withinMs;
    for (let leftMs = withinMs; leftMs > 0; leftMs = endMs - this.time.nowMs) {
      const isServed = await this.until(() => this.servingOwner() !== undefined, leftMs);
      if (referee.violation !== null || !isServed) break;
      if (await this.isReadBack(this.servingOwner()!)) return;
    }
    if (referee.violation !== null) return;
    referee.fail(`nobody serves ${withinMs} ms after the last fault`);
  }

  /** False where it lost the volume meanwhile, as to one that steals. */
  private async isReadBack(owner: SimOwner): Promise<boolean> {
    this.note(`${owner.name} writes, and reads everything`);
    let isRead = false;
    owner.process.deliver(() => void owner.guest!.readBack().then((isOkay) => (isRead = isOkay)));
    const isStillThere = (): boolean => owner.isServing && owner === this.servingOwner();
    await this.until(() => isRead || !isStillThere(), READ_BACK_MS);
    if (!isRead && isStillThere()) this.referee.fail(`${owner.name} leaves requests unanswered`);
    return isRead;
  }

  private servingOwner(): SimOwner | undefined {
    return this.owners.find(
      (owner) => owner.process === this.referee.serving && owner.isServing && owner.isOpen,
    );
  }

  private until(isTrue: () => boolean, withinMs: number): Promise<boolean> {
    return this.time.runUntil(() => this.referee.violation !== null || isTrue(), withinMs);
  }

  private forAWhile(): number {
    return this.random.next() * this.leaseTtlMs * this.random.pick([0.3, 1, 2]);
  }

  private readonly newUuid = (): string =>
    `00000000-0000-4000-8000-${String(++this.uuids).padStart(12, '0')}`;

  private note(what: string): void {
    this.options.trace?.(`${this.time.nowMs.toFixed(1).padStart(9)} ${what}`);
  }
}
