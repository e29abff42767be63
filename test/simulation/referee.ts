/**
 * Sees every landing in the shared directory, every commit in etcd and every answer to a guest, and
 * says when something has happened that must not.
 */
import { STATUS_OKAY } from '../../lib/vbd/request';
import { type Change, SectorHistory } from '../volume/doubles/sector-history';
import type { SimProcess } from './sim-clock';

export class Violation extends Error {}

/** What was seen, so that a test can tell that something was tried. */
export interface Tally {
  writes: number;
  flushes: number;
  reads: number;
  commits: number;
  /** Owners that began to serve. */
  owners: number;
  takeOvers: number;
  handOvers: number;
  losses: number;
  kills: number;
  stops: number;
  partitions: number;
  outages: number;
  /** Ends of outages that nothing else followed, so that the owner had to go on. */
  recoveries: number;
  powerCuts: number;
  steals: number;
}

export function newTally(): Tally {
  return {
    writes: 0,
    flushes: 0,
    reads: 0,
    commits: 0,
    owners: 0,
    takeOvers: 0,
    handOvers: 0,
    losses: 0,
    kills: 0,
    stops: 0,
    partitions: 0,
    outages: 0,
    recoveries: 0,
    powerCuts: 0,
    steals: 0,
  };
}

export class Referee {
  readonly history: SectorHistory;
  readonly tally = newTally();
  /** The first thing that must not have been. */
  violation: Violation | null = null;
  /** The latest epoch of which anything has landed or begun to serve. */
  private landedEpoch = 0;
  private servingNow: SimProcess | null = null;
  private servingEpoch = 0;

  constructor(sectors: number) {
    this.history = new SectorHistory(sectors);
  }

  /** Whose guest sees the disk; the last one, where nobody does now. */
  get serving(): SimProcess | null {
    return this.servingNow;
  }

  landed(epoch: number, what: string): void {
    if (epoch < this.landedEpoch) {
      this.fail(`a ${what} of epoch ${epoch} lands after one of epoch ${this.landedEpoch}`);
    }
    this.landedEpoch = Math.max(this.landedEpoch, epoch);
  }

  /** A transaction changed map pages; `etcdEpoch` is the volume's in etcd then. */
  committed(epoch: number, etcdEpoch: number): void {
    this.tally.commits++;
    if (epoch < etcdEpoch) this.fail(`a commit of epoch ${epoch} in epoch ${etcdEpoch}`);
  }

  /** The volume is open: a new guest begins, which knows what the last one had been told. */
  serves(process: SimProcess, epoch: number): void {
    if (epoch <= this.servingEpoch) {
      this.fail(`epoch ${epoch} begins after epoch ${this.servingEpoch}`);
    }
    this.tally.owners++;
    this.history.killed();
    this.servingNow = process;
    this.servingEpoch = epoch;
    this.landedEpoch = Math.max(this.landedEpoch, epoch);
  }

  /** The power of a host went: what its guest had not flushed may be lost with it. */
  powerCut(isHit: (process: SimProcess) => boolean): void {
    if (this.servingNow !== null && isHit(this.servingNow)) this.history.powerCut();
  }

  /** @returns whether the answer counts: that of a guest whose disk is another's does not */
  answered(process: SimProcess, epoch: number, status: number): boolean {
    if (process === this.servingNow) return true;
    if (status === STATUS_OKAY) {
      this.fail(`an acknowledgement of epoch ${epoch} after epoch ${this.servingEpoch} began`);
    }
    return false;
  }

  check(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.fail((error as Error).message);
    }
  }

  fail(message: string): void {
    this.violation ??= new Violation(message);
  }
}

export type { Change };
