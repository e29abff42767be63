/** Commands for a guest over its console: written to xenconsoled's pty, answers read in its log. */
import { execFileSync } from 'node:child_process';
import { closeSync, openSync, readSync, writeSync } from 'node:fs';

const LOGS = '/var/log/xen/console';
const POLL_MS = 25;
const READ_BYTES = 256 * 1024;
/** Above it old text is forgotten; an answer longer than this is never found. */
const TEXT_CHARACTERS_MAX = 8 * 1024 * 1024;

export interface GuestAnswer {
  readonly status: number;
  readonly output: string;
}

/** Reads what a guest's console has said so far and says from now on. */
export class GuestLog {
  private text = '';
  private at = 0;
  private readonly buffer = Buffer.alloc(READ_BYTES);

  constructor(private readonly name: string) {}

  /** @returns the first match in all that was said */
  find(pattern: RegExp): RegExpExecArray | null {
    this.read();
    return pattern.exec(this.text);
  }

  private read(): void {
    let file;
    try {
      file = openSync(`${LOGS}/guest-${this.name}.log`, 'r');
    } catch {
      return; // Not written to yet.
    }
    try {
      for (;;) {
        const count = readSync(file, this.buffer, 0, READ_BYTES, this.at);
        if (count === 0) break;
        this.at += count;
        this.text += this.buffer.toString('latin1', 0, count).replaceAll('\r', '');
      }
    } finally {
      closeSync(file);
    }
    if (this.text.length > TEXT_CHARACTERS_MAX) {
      this.text = this.text.slice(-TEXT_CHARACTERS_MAX / 2);
    }
  }
}

const logs = new Map<string, GuestLog>();

function logOf(name: string): GuestLog {
  const known = logs.get(name) ?? new GuestLog(name);
  logs.set(name, known);
  return known;
}

/** Resolves with the match, or null when the time is up. */
function waitFor(
  name: string,
  pattern: RegExp,
  timeoutMs: number,
): Promise<RegExpExecArray | null> {
  const log = logOf(name);
  const deadline = Date.now() + timeoutMs;
  return new Promise((resolve) => {
    const look = (): void => {
      const found = log.find(pattern);
      if (found !== null || Date.now() > deadline) resolve(found);
      else setTimeout(look, POLL_MS);
    };
    look();
  });
}

export async function guestReady(name: string, timeoutMs: number): Promise<boolean> {
  const found = await waitFor(name, /^@READY$|Kernel panic/m, timeoutMs);
  return found?.[0] === '@READY';
}

/** Null where the guest did not answer in time. */
export async function runInGuest(
  domid: number,
  name: string,
  id: string,
  command: string,
  timeoutMs: number,
): Promise<GuestAnswer | null> {
  const node = `/local/domain/${domid}/console/tty`;
  const tty = execFileSync('xenstore-read', [node], { encoding: 'utf8' }).trim();
  const file = openSync(tty, 'r+');
  try {
    writeSync(file, `@RUN ${id} ${Buffer.from(command).toString('base64')}\n`);
  } finally {
    closeSync(file);
  }
  const answer = new RegExp(`^@DONE ${id} (\\d+)\\n([^@]*)@END ${id}$`, 'm');
  const found = await waitFor(name, answer, timeoutMs);
  if (found === null) return null;
  // The kernel's own messages may stand between the lines of an answer.
  const base64 = found[2].split('\n').filter((line) => /^[A-Za-z0-9+/]+=*$/.test(line));
  const output = Buffer.from(base64.join(''), 'base64').toString('utf8');
  return { status: Number(found[1]), output };
}
