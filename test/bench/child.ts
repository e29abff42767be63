/** A child process that talks in lines: servers that say when they serve, and the ring's load. */
import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface, type Interface } from 'node:readline';
import { untilUndone } from './left-behind';

const STDERR_KEPT = 4000;

export class LineChild {
  private readonly child: ChildProcess;
  private readonly lines: Interface;
  private readonly answers: AsyncIterator<string>;
  private stderr = '';
  private readonly ended: Promise<void>;

  constructor(
    private readonly program: string,
    arguments_: readonly string[],
    env: Readonly<Record<string, string | undefined>> = process.env,
  ) {
    this.child = spawn(program, arguments_, { env, stdio: ['pipe', 'pipe', 'pipe'] });
    const ended = untilUndone(() => this.child.kill('SIGKILL'));
    this.ended = new Promise((resolve) => {
      this.child.once('close', () => {
        ended();
        resolve();
      });
      this.child.once('error', (error) => {
        this.stderr += error.message;
        resolve();
      });
    });
    this.child.stderr!.setEncoding('utf8');
    this.child.stderr!.on('data', (text: string) => {
      this.stderr = (this.stderr + text).slice(-STDERR_KEPT);
    });
    // A child that has died is noticed by the answer that does not come.
    this.child.stdin!.on('error', () => {});
    this.lines = createInterface({ input: this.child.stdout! });
    this.answers = this.lines[Symbol.asyncIterator]();
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  get isAlive(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  say(line: string): void {
    this.child.stdin!.write(`${line}\n`);
  }

  /** The next line it prints. */
  async answer(): Promise<string> {
    const { value, done } = (await this.answers.next()) as IteratorResult<string, undefined>;
    if (done !== true && value !== undefined) return value;
    await this.ended;
    throw new Error(`${this.program} ended: ${this.stderr.trim()}`);
  }

  /** Ends its input, for those that end with it. */
  async finish(): Promise<void> {
    this.child.stdin!.end();
    await this.ended;
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    if (this.isAlive) this.child.kill(signal);
    await this.ended;
  }
}
