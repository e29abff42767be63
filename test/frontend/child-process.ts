/** A process of its own that runs the project's TypeScript as it is, and is killed at the end. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const ROOT = join(__dirname, '../..');
const LOADER = `
  require.extensions['.ts'] = (module, path) => {
    const options = { swcrc: false, jsc: { parser: { syntax: 'typescript' }, target: 'es2022' },
      module: { type: 'commonjs' } };
    module._compile(require('@swc/core').transformFileSync(path, options).code, path);
  };
`;

const living = new Set<Child>();

export class Child {
  readonly lines: string[] = [];
  private readonly process: ChildProcess;
  private wake: () => void = () => undefined;
  private ended = false;

  /** `script` is JavaScript; it may require './lib/…' and './test/…'. */
  constructor(script: string, env: Record<string, string> = {}) {
    this.process = spawn(process.execPath, ['-e', LOADER + script], {
      cwd: ROOT,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    living.add(this);
    createInterface({ input: this.process.stdout! }).on('line', (line) => {
      this.lines.push(line);
      this.wake();
    });
    this.process.once('exit', () => {
      this.ended = true;
      this.wake();
    });
  }

  get pid(): number {
    return this.process.pid!;
  }

  /** Waits until the child has printed a line, and removes it with all before it. */
  async line(wanted: string): Promise<void> {
    for (;;) {
      const at = this.lines.indexOf(wanted);
      if (at >= 0) {
        this.lines.splice(0, at + 1);
        return;
      }
      if (this.ended) throw new Error(`the child ended without '${wanted}': ${this.lines.join()}`);
      await new Promise<void>((resolve) => (this.wake = resolve));
    }
  }

  /** kill -9, and waits for the end. */
  async kill(): Promise<void> {
    living.delete(this);
    if (this.ended) return;
    const exit = once(this.process, 'exit');
    this.process.kill('SIGKILL');
    await exit;
  }

  /** Waits until it has ended by itself; its exit code. */
  async end(): Promise<number | null> {
    if (!this.ended) await once(this.process, 'exit');
    living.delete(this);
    return this.process.exitCode;
  }
}

afterAll(async () => {
  await Promise.all([...living].map((child) => child.kill()));
});
