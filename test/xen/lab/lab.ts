/** The running lab as a case sees it: dom0's shell, guests, the project's daemon, a power cut. */
import { existsSync, readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { emptyImage } from '../images/disk-image';
import type { Answer, Body } from '../agent/protocol';
import { AgentClient } from './agent-client';
import { DATA_IMAGE } from './paths';
import { AGENT_SOCKET, CONSOLE_LOG, PID_FILE, startQemu } from './qemu';

/** Emulation on a machine that does other things too: rarely more than a minute is needed. */
const BOOT_TIMEOUT_MS = 240_000;
const COMMAND_TIMEOUT_MS = 180_000;
const POLL_MS = 200;
/** Sparse: it takes what is written to it. */
export const DATA_BYTES = 16 * 2 ** 30;
/** Bytes of a file in one message of the agent's. */
const PUT_BYTES = 256 * 1024;

export interface CommandOptions {
  readonly timeoutMs?: number;
}

export class Lab {
  private agent: AgentClient | null = null;

  private constructor(private pid: number) {}

  /** Boots with an empty data disk. */
  static async boot(): Promise<Lab> {
    emptyImage(DATA_IMAGE, DATA_BYTES);
    const lab = new Lab(startQemu());
    await lab.isUp();
    return lab;
  }

  /** One that KEEP=1 left running, or null. */
  static async running(): Promise<Lab | null> {
    const pid = existsSync(PID_FILE) ? Number(readFileSync(PID_FILE, 'utf8')) : 0;
    if (pid === 0 || !isQemu(pid)) return null;
    const lab = new Lab(pid);
    await lab.isUp();
    return lab;
  }

  /** Ends QEMU as a power cut would, and boots again with what had reached the data disk. */
  async powerCut(): Promise<void> {
    await this.end();
    this.pid = startQemu();
    await this.isUp();
  }

  /** Ends QEMU at once. */
  async end(): Promise<void> {
    this.agent?.close();
    this.agent = null;
    if (isQemu(this.pid)) process.kill(this.pid, 'SIGKILL');
    while (isQemu(this.pid)) await sleep(POLL_MS);
  }

  /** Lets it run on without this process. */
  leave(): void {
    this.agent?.close();
    this.agent = null;
  }

  /** Runs a command in dom0, by bash. Resolves however it ends. */
  async run(command: string, options: CommandOptions = {}): Promise<Answer> {
    return this.ask({ kind: 'run', command }, options.timeoutMs);
  }

  /** As `run`. @returns what it printed. @throws Error where it ends with another status than 0 */
  async dom0(command: string, options: CommandOptions = {}): Promise<string> {
    const { status, output } = await this.run(command, options);
    if (status === 0) return output;
    throw new Error(`in dom0: ${command}\nended with ${status}: ${output.trim()}`);
  }

  /** Waits until a command of dom0 ends with 0. @throws Error with `what` and its last output */
  async until(what: string, command: string, timeoutMs = COMMAND_TIMEOUT_MS): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const { status, output } = await this.run(command);
      if (status === 0) return;
      if (performance.now() > deadline) {
        throw new Error(`not within ${timeoutMs / 1000} s: ${what}; last: ${output.trim()}`);
      }
      await sleep(POLL_MS);
    }
  }

  /** Writes a file of dom0. */
  async put(path: string, content: Buffer | string): Promise<void> {
    const bytes = Buffer.from(content);
    for (let at = 0; at === 0 || at < bytes.length; at += PUT_BYTES) {
      const base64 = bytes.subarray(at, at + PUT_BYTES).toString('base64');
      const { status, output } = await this.ask({ kind: 'put', path, base64, append: at > 0 });
      if (status !== 0) throw new Error(`could not write ${path} in dom0: ${output}`);
    }
  }

  async ask(body: Body, timeoutMs = COMMAND_TIMEOUT_MS): Promise<Answer> {
    if (this.agent === null) throw new Error('the lab does not run');
    return this.agent.ask(body, timeoutMs);
  }

  private async isUp(): Promise<void> {
    const deadline = performance.now() + BOOT_TIMEOUT_MS;
    while (!(await consoleSays('lab: dom0 is up'))) {
      if (!isQemu(this.pid)) throw new Error(`QEMU ended: ${await lastOfConsole()}`);
      if (performance.now() > deadline) {
        throw new Error(`dom0 is not up after ${BOOT_TIMEOUT_MS} ms: ${await lastOfConsole()}`);
      }
      await sleep(POLL_MS);
    }
    this.agent = await AgentClient.connect(AGENT_SOCKET);
    await this.dom0('true');
  }
}

/** The pid may be another program's by now. */
function isQemu(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(AGENT_SOCKET);
  } catch {
    return false;
  }
}

const consoleText = (): Promise<string> => readFile(CONSOLE_LOG, 'latin1').catch(() => '');

async function consoleSays(text: string): Promise<boolean> {
  return (await consoleText()).includes(text);
}

async function lastOfConsole(): Promise<string> {
  return (await consoleText()).slice(-1000);
}
