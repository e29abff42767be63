/**
 * One tapdisk process that runs already and waits for its disk: so a new disk is there at once, and
 * one whose process died is served again before its guest has noticed much.
 */
import { existsSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import type { Log } from '../control/log';
import { LaunchedTapdisk } from '../control/start-tapdisk';
import { errnoOf, sentenceOf } from '../errors';
import { PROCESS_ANSWER_TIMEOUT_MS, SPARE_KEEP_INTERVAL_MS } from './limits';

interface Spare {
  readonly launched: Promise<LaunchedTapdisk>;
  readonly log: string;
}

export class SpareProcess {
  private spare: Spare | null = null;
  private launches = 0;
  private keeping: NodeJS.Timeout | null = null;
  private isClosed = false;
  /** The start of a disk is under way, which another start would only slow down. */
  private isTaken = false;

  constructor(
    private readonly runtimeDirectory: string,
    private readonly env: Readonly<Record<string, string | undefined>>,
    private readonly log: Log,
  ) {}

  /** Starts one where none is ready or being started. */
  prepare(): void {
    this.isTaken = false;
    if (this.isClosed || this.spare !== null) return;
    const spare = this.launch();
    this.spare = spare;
    spare.launched.catch((error: unknown) => {
      this.log.warn({}, `no process is ready for the next disk: ${sentenceOf(error)}`);
      if (this.spare === spare) this.spare = null;
    });
    this.keeping ??= setInterval(() => void this.keep(), SPARE_KEEP_INTERVAL_MS);
  }

  /**
   * The process that is ready, else a new one; the caller's to connect and to dispose of, and then to
   * call `prepare`. Its log is named `logName` in the runtime directory, what was there is kept as `logName`.old.
   *
   * @throws TapdiskError of LaunchedTapdisk.launch
   */
  async take(logName: string): Promise<LaunchedTapdisk> {
    const ready = this.spare;
    this.spare = null;
    this.isTaken = true;
    const spare = ready ?? this.launch();
    let launched: LaunchedTapdisk;
    try {
      launched = await spare.launched;
    } catch (error) {
      if (ready === null) throw error;
      return this.take(logName);
    }
    if (!launched.isAlive) {
      await launched.dispose();
      if (ready !== null) return this.take(logName);
    }
    this.nameLog(spare.log, path.join(this.runtimeDirectory, logName));
    return launched;
  }

  /** Ends the process that waits. */
  async close(): Promise<void> {
    this.isClosed = true;
    if (this.keeping !== null) clearInterval(this.keeping);
    const { spare } = this;
    this.spare = null;
    if (spare !== null) await this.discard(spare);
  }

  private async discard({ launched, log }: Spare): Promise<void> {
    const process_ = await launched.catch(() => null);
    rmSync(log, { force: true });
    if (process_ === null) return;
    end(process_.pid);
    await process_.dispose();
  }

  private launch(): Spare {
    const log = path.join(this.runtimeDirectory, `starting-${process.pid}-${this.launches++}.log`);
    const launched = LaunchedTapdisk.launch({
      runtimeDirectory: this.runtimeDirectory,
      env: this.env,
      log,
      minor: 0,
      timeoutMs: PROCESS_ANSWER_TIMEOUT_MS,
    });
    return { launched, log };
  }

  private async keep(): Promise<void> {
    const { spare } = this;
    if (spare === null && this.isTaken) return;
    if (spare === null) return this.prepare();
    try {
      await (await spare.launched).keep();
    } catch (error) {
      if (this.spare !== spare) return;
      this.log.warn({}, `the process for the next disk is gone: ${sentenceOf(error)}`);
      this.spare = null;
      await this.discard(spare);
      this.prepare();
    }
  }

  private nameLog(from: string, to: string): void {
    try {
      if (existsSync(to)) renameSync(to, `${to}.old`);
      renameSync(from, to);
    } catch (error) {
      // Also where the process has not written any.
      if (errnoOf(error) !== 'ENOENT') throw error;
    }
  }
}

function end(pid: number): void {
  try {
    process.kill(pid, 'SIGTERM');
  } catch (error) {
    if (errnoOf(error) !== 'ESRCH') throw error;
  }
}
