/** A host's /proc, /sys and /dev as text: what features are told from. */
import { accessSync, constants, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** Everything below `root`, which is '/' but in tests. Nothing throws: what cannot be read is absent. */
export class HostFiles {
  constructor(private readonly root = '/') {}

  /** A small file's text without its last line end, or null. */
  text(path: string): string | null {
    try {
      return readFileSync(join(this.root, path), 'latin1').trimEnd();
    } catch {
      return null;
    }
  }

  exists(path: string): boolean {
    return statSync(join(this.root, path), { throwIfNoEntry: false }) !== undefined;
  }

  /** Whether this user may read and write there. */
  mayUse(path: string): boolean {
    try {
      accessSync(join(this.root, path), constants.R_OK | constants.W_OK);
      return true;
    } catch {
      return false;
    }
  }

  /** The major of a character driver in /proc/devices, or null. */
  characterMajor(driver: string): number | null {
    const characters = (this.text('/proc/devices') ?? '').split('Block devices:')[0];
    const line = new RegExp(`^ *(\\d+) ${driver}$`, 'm').exec(characters);
    return line === null ? null : Number(line[1]);
  }

  /** The minor of a misc device in /proc/misc, or null. */
  miscMinor(name: string): number | null {
    const line = new RegExp(`^ *(\\d+) ${name}$`, 'm').exec(this.text('/proc/misc') ?? '');
    return line === null ? null : Number(line[1]);
  }

  /** A soft limit of this process ("Max open files"): Infinity where there is none, null unknown. */
  softLimit(name: string): number | null {
    const line = new RegExp(`^${name} +(\\S+)`, 'm').exec(this.text('/proc/self/limits') ?? '');
    if (line === null) return null;
    return line[1] === 'unlimited' ? Infinity : Number(line[1]);
  }
}
