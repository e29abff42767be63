/**
 * A disk and a page cache that outlive the processes using them: what is not synced survives a
 * killed process, but after a power cut only as chance will have it, each sector for itself.
 */
import { SECTOR_BYTES } from '../../../lib/sector';
import type { Random } from './random';

/** A change that no sync has made durable. */
interface Unsynced<Value> {
  readonly serial: number;
  /** Which process made it: a sync covers only that process's own. */
  readonly processId: number;
  readonly value: Value;
}

/** Named cells, each with its durable value and the changes since. */
class Cells<Value> {
  readonly durable = new Map<string, Value>();
  private readonly unsynced = new Map<string, Unsynced<Value>[]>();

  get(name: string): Value | undefined {
    const changes = this.unsynced.get(name);
    return changes === undefined ? this.durable.get(name) : changes[changes.length - 1].value;
  }

  set(name: string, change: Unsynced<Value>): void {
    const changes = this.unsynced.get(name);
    if (changes === undefined) this.unsynced.set(name, [change]);
    else changes.push(change);
  }

  sync(covers: (change: Unsynced<Value>, name: string) => boolean): void {
    for (const [name, changes] of this.unsynced) {
      const last = changes.findLastIndex((change) => covers(change, name));
      if (last < 0) continue;
      // What is older on the same cell is overwritten, whoever wrote it.
      this.durable.set(name, changes[last].value);
      if (last === changes.length - 1) this.unsynced.delete(name);
      else changes.splice(0, last + 1);
    }
  }

  powerCut(random: Random, survival: number): void {
    for (const [name, changes] of this.unsynced) {
      for (let i = changes.length - 1; i >= 0; i--) {
        if (!random.chance(survival)) continue;
        this.durable.set(name, changes[i].value);
        break;
      }
    }
    this.unsynced.clear();
  }

  *names(): IterableIterator<string> {
    yield* new Set([...this.durable.keys(), ...this.unsynced.keys()]);
  }
}

/** null is a sector of zeros. */
type Sector = Buffer | null;

export class Media {
  private readonly sectors = new Cells<Sector>();
  private readonly entries = new Cells<number>();
  private serial = 0;

  /** Marks a moment: a sync that begins now covers the changes before it. */
  now(): number {
    return this.serial;
  }

  readSector(layer: number, sectorOfLayer: number): Sector {
    return this.sectors.get(`${layer}:${sectorOfLayer}`) ?? null;
  }

  writeSector(processId: number, layer: number, sectorOfLayer: number, value: Sector): void {
    this.sectors.set(`${layer}:${sectorOfLayer}`, { serial: this.serial++, processId, value });
  }

  syncSectors(processId: number, before: number): void {
    this.sectors.sync((change) => change.processId === processId && change.serial < before);
  }

  syncLayer(layer: number): void {
    this.sectors.sync((_, name) => name.startsWith(`${layer}:`));
  }

  setEntry(processId: number, chunk: number, layer: number): void {
    this.entries.set(String(chunk), { serial: this.serial++, processId, value: layer });
  }

  /** A map's sync covers what any process committed. */
  syncEntries(before: number): void {
    this.entries.sync((change) => change.serial < before);
  }

  entriesNow(): Map<number, number> {
    const now = new Map<number, number>();
    for (const name of this.entries.names()) now.set(Number(name), this.entries.get(name) ?? 0);
    return now;
  }

  /** Survival: the probability that an unsynced change is there afterwards. */
  powerCut(random: Random, survival: { sectors: number; entries: number }): void {
    this.sectors.powerCut(random, survival.sectors);
    this.entries.powerCut(random, survival.entries);
  }
}

/** The number that fills a sector, 0 for zeros; throws where the sector is not of one piece. */
export function valueOfSector(bytes: Buffer, offset: number): number {
  const value = bytes.readUInt32LE(offset);
  // It equals itself moved by one number only where all of its numbers are the same.
  const allButLast = bytes.subarray(offset, offset + SECTOR_BYTES - 4);
  const allButFirst = bytes.subarray(offset + 4, offset + SECTOR_BYTES);
  if (!allButLast.equals(allButFirst)) throw new Error(`a torn sector at byte ${offset}`);
  return value;
}

export function fillSectors(bytes: Buffer, value: number): void {
  const number = Buffer.alloc(4);
  number.writeUInt32LE(value);
  bytes.fill(number);
}
