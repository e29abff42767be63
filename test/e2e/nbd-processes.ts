/** `tapdisk-ts serve nbd` processes of one test, on a pool of two volumes of its own. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod/v3';
import { createPool } from '../../lib/pool/create-pool';
import { openPool } from '../../lib/pool/open-pool';
import { PROJECT_ROOT } from '../project-root';

const PROGRAM = join(PROJECT_ROOT, 'bin/tapdisk-ts');
const MIB = 1 << 20;

const announcement = z.object({ pid: z.number(), uris: z.array(z.string()) });

export interface Ended {
  readonly exitCode: number;
  readonly out: string;
  readonly err: string;
}

export interface Serving {
  readonly pid: number;
  /** What it says when clients can connect; rejects where it ends before. */
  readonly uris: Promise<readonly string[]>;
  readonly ended: Promise<number | null>;
  kill(signal: NodeJS.Signals): void;
}

/** Volume main/a has 8 MiB, main/b 16. */
export class NbdProcesses {
  readonly directory = mkdtempSync(join(tmpdir(), 'tapdisk-ts-serve-'));
  readonly env: NodeJS.ProcessEnv;
  private readonly children: ChildProcess[] = [];

  private constructor() {
    for (const name of ['config', 'run']) mkdirSync(join(this.directory, name), { mode: 0o700 });
    this.env = {
      ...process.env,
      TAPDISK_TS_CONFIG_DIR: join(this.directory, 'config'),
      TAPDISK_TS_RUNTIME_DIR: join(this.directory, 'run'),
    };
  }

  static async create(): Promise<NbdProcesses> {
    const made = new NbdProcesses();
    const { env } = made;
    const path = join(made.directory, 'pool');
    await createPool({ name: 'main', path, storeKind: 'dir', existing: false }, { env });
    const pool = await openPool('main', { env });
    await pool.coordination.create({ name: 'a', sizeBytes: 8 * MIB, chunkBytes: MIB });
    await pool.coordination.create({ name: 'b', sizeBytes: 16 * MIB, chunkBytes: MIB });
    await pool.close();
    return made;
  }

  /** Runs a command of the program to its end. */
  command(...words: string[]): Promise<Ended> {
    return new Promise((resolve) => {
      execFile(PROGRAM, words, { env: this.env }, (error, out, err) => {
        resolve({ exitCode: error === null ? 0 : Number(error.code), out, err });
      });
    });
  }

  start(...words: string[]): Serving {
    const { env } = this;
    const stdio = ['ignore', 'pipe', 'ignore'] as const;
    const child = spawn(PROGRAM, ['serve', 'nbd', '--json', ...words], { env, stdio: [...stdio] });
    this.children.push(child);
    const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
    let out = '';
    const uris = new Promise<readonly string[]>((resolve, reject) => {
      child.stdout.on('data', (bytes: Buffer) => {
        out += bytes.toString();
        if (out.endsWith('}\n')) resolve(announcement.parse(JSON.parse(out)).uris);
      });
      child.once('exit', (code) => reject(new Error(`ended with ${code}: ${out}`)));
    });
    uris.catch(() => {});
    return { pid: child.pid!, uris, ended, kill: (signal) => child.kill(signal) };
  }

  end(): void {
    for (const child of this.children) child.kill('SIGKILL');
    rmSync(this.directory, { recursive: true, force: true });
  }
}
