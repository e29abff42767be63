/**
 * The real file system, for a process that dies at a chosen call: that call and all later ones
 * never end, and its files are closed as the kernel would close them.
 */
import type { FileSystem } from '../../../lib/coordination/local/file-system';
import { NODE_FILE_SYSTEM } from '../../../lib/coordination/local/file-system';

type Calls = { [Name in keyof FileSystem]: (...values: never[]) => unknown };

/** Those that change nothing are no instants of their own. */
const CHANGES: ReadonlySet<string> = new Set([
  'open',
  'write',
  'fsync',
  'datasyncThen',
  'truncate',
  'rename',
  'unlink',
  'mkdir',
  'removeTree',
  'close',
]);

/** A process's death does not touch the page cache, and syncs are most of a test's time. */
export const WITHOUT_SYNC: FileSystem = {
  ...NODE_FILE_SYSTEM,
  fsync: async () => {},
  datasyncThen: (_fd, done) => void setImmediate(done, 0),
};

export class MortalFileSystem {
  /** What the coordination is given. */
  readonly calls: FileSystem;
  /** Changes made so far, by name and path or file. */
  readonly log: string[] = [];
  /** Resolves at the death. */
  readonly death: Promise<void>;
  private readonly open = new Map<number, string>();
  private isDead = false;
  private killing: Promise<void> | null = null;
  private die: () => void = () => {};

  /** Dies instead of making change number `deathAt` (from 1); `torn`: half of a write is made. */
  constructor(
    private deathAt = Infinity,
    private torn = false,
  ) {
    this.death = new Promise((resolve) => (this.die = resolve));
    const real = NODE_FILE_SYSTEM as unknown as Calls;
    const wrapped: Record<string, unknown> = {};
    for (const name of Object.keys(real) as (keyof FileSystem)[]) {
      wrapped[name] = (...values: unknown[]) => this.call(name, values);
    }
    this.calls = wrapped as unknown as FileSystem;
  }

  /** Counts from now on. */
  dieAtChange(deathAt: number, torn: boolean): void {
    this.log.length = 0;
    this.deathAt = deathAt;
    this.torn = torn;
  }

  /** kill -9: everything open is closed, and nothing under way comes back. */
  kill(): Promise<void> {
    this.killing ??= this.closeAll();
    return this.killing;
  }

  /** Whether the call at which it died is one that can be done by halves. */
  get diedInTwo(): boolean {
    return /^(write|removeTree) /.test(this.log.at(-1) ?? '');
  }

  /** Resolves to true where the work ended before the death. */
  async outlives(work: Promise<unknown>): Promise<boolean> {
    return Promise.race([work.then(() => true), this.death.then(() => false)]);
  }

  private call(name: keyof FileSystem, values: unknown[]): unknown {
    if (this.isDead) return new Promise(() => {});
    if (CHANGES.has(name)) {
      const path = this.open.get(values[0] as number) ?? String(values[0]);
      this.log.push(name === 'rename' ? `${name} ${path} ${String(values[1])}` : `${name} ${path}`);
      if (this.log.length >= this.deathAt) return this.dieIn(name, values);
    }
    const real = WITHOUT_SYNC[name] as (...all: unknown[]) => unknown;
    if (name === 'open') return this.openFile(real, values);
    if (name === 'close') this.open.delete(values[0] as number);
    return real(...values);
  }

  private async openFile(real: (...all: unknown[]) => unknown, values: unknown[]): Promise<number> {
    const fd = (await real(...values)) as number;
    if (this.isDead) {
      await NODE_FILE_SYSTEM.close(fd);
      return new Promise(() => {});
    }
    this.open.set(fd, String(values[0]));
    return fd;
  }

  private async closeAll(): Promise<void> {
    this.isDead = true;
    this.die();
    for (const fd of this.open.keys()) await NODE_FILE_SYSTEM.close(fd);
    this.open.clear();
  }

  private async dieIn(name: string, values: unknown[]): Promise<never> {
    this.isDead = true;
    if (name === 'write' && this.torn) {
      const [fd, bytes, position] = values as [number, Buffer, number];
      await NODE_FILE_SYSTEM.write(fd, bytes.subarray(0, bytes.length >> 1), position);
    }
    // A tree goes file by file, in any order.
    if (name === 'removeTree' && this.torn) {
      await NODE_FILE_SYSTEM.unlink(`${String(values[0])}/record.json`).catch(() => {});
    }
    await this.kill();
    return new Promise(() => {});
  }
}
