/** What the kernel tells of processes that a test started: alive or not, and bytes written. */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const POLL_MS = 5;

/** A zombie counts as gone: it holds nothing any more. */
export function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(')') + 2));
  } catch {
    return false;
  }
}

/** @throws Error where it lives on */
export async function untilGone(pid: number, deadlineMs = 30_000): Promise<void> {
  await until(`process ${pid} is gone`, () => !isAlive(pid), deadlineMs);
}

/** Kills with -9, and waits. One that is gone already is no failure. */
export async function kill(pid: number): Promise<void> {
  if (isAlive(pid)) process.kill(pid, 'SIGKILL');
  await untilGone(pid);
}

/** Bytes that a process has handed to block devices so far (proc(5), io: write_bytes). */
export function bytesWritten(pid: number): number {
  try {
    const io = readFileSync(`/proc/${pid}/io`, 'utf8');
    return Number(/^write_bytes: (\d+)/m.exec(io)?.[1] ?? 0);
  } catch {
    return 0;
  }
}

/** @throws Error when `condition` does not become true in time */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  deadlineMs = 30_000,
): Promise<void> {
  const deadline = performance.now() + deadlineMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`not within ${deadlineMs} ms: ${what}`);
    await sleep(POLL_MS);
  }
}

/** When a process last wrote, and when it first did, to the poll's resolution. */
export class WriteWatch {
  /** performance.now() of the last growth that was seen, or null. */
  lastMs: number | null = null;
  firstMs: number | null = null;
  private bytes: number;
  private readonly timer: NodeJS.Timeout;

  constructor(private readonly pid: number) {
    this.bytes = bytesWritten(pid);
    this.timer = setInterval(() => this.look(), POLL_MS);
  }

  look(): void {
    const now = bytesWritten(this.pid);
    if (now > this.bytes) {
      this.lastMs = performance.now();
      this.firstMs ??= this.lastMs;
      this.bytes = now;
    }
  }

  stop(): void {
    this.look();
    clearInterval(this.timer);
  }
}
