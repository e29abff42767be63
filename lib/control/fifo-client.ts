/** The toolstack's side of the two FIFOs, as blktapctrl plays it: one tapdisk, one question a time. */
import { rmSync } from 'node:fs';
import path from 'node:path';
import { mkfifo } from '../../native-bindings/posix';
import { errnoOf, sentenceOf, TapdiskError } from '../errors';
import type { OpenedImage } from './disk-host';
import { FifoLink } from './fifo-link';
import { ANSWER_TIMEOUT_MS } from './limits';
import { silentLog, type Log } from './log';
import {
  decodeMessage,
  encodeMessage,
  type ControlMessage,
  type DataModel,
  type MessageName,
} from './messages';
import { processIsAlive } from './process-alive';
import { spawnProvider, type ProviderOptions } from './spawn-provider';

export interface FifoClientOptions {
  /** Where the FIFOs are made (blktapctrl: /var/run/tap); it must exist and be private. */
  readonly directory: string;
  /** Minor of the character device: names the FIFOs. */
  readonly minor: number;
  readonly log?: Log;
  readonly answerTimeoutMs?: number;
  readonly dataModel?: DataModel;
}

/** A dead process is noticed after at most this. */
const ALIVE_CHECK_INTERVAL_MS = 100;

interface Waiting {
  readonly names: readonly MessageName[];
  resolve(message: ControlMessage): void;
}

export class FifoClient {
  /** What the toolstack reads and tapdisk writes. */
  readonly readFifo: string;
  /** What the toolstack writes and tapdisk reads. */
  readonly writeFifo: string;
  private readonly link: FifoLink;
  private readonly log: Log;
  private waiting: Waiting | null = null;
  private turn: Promise<unknown> = Promise.resolve();
  /** Set by an answer that did not come: a later one could not be told from the next. */
  private broken: TapdiskError | null = null;
  private tapdiskPid: number | null = null;

  /**
   * Makes and opens the FIFOs tapctrlread<minor> and tapctrlwrite<minor>, mode 0600.
   * @throws TapdiskError CONTROL_FIFO_CREATE, CONTROL_FIFO_OPEN
   */
  constructor(private readonly options: FifoClientOptions) {
    this.log = options.log ?? silentLog;
    this.readFifo = path.join(options.directory, `tapctrlread${options.minor}`);
    this.writeFifo = path.join(options.directory, `tapctrlwrite${options.minor}`);
    makeFifo(this.readFifo);
    try {
      makeFifo(this.writeFifo);
    } catch (error) {
      rmSync(this.readFifo, { force: true });
      throw error;
    }
    this.link = new FifoLink({
      readFifo: this.readFifo,
      writeFifo: this.writeFifo,
      direction: 'toControl',
      sink: {
        message: (bytes) => this.received(bytes),
        refused: (reason) => this.log.warn({}, `answer refused: ${reason}`),
        failed: (error) => (this.broken ??= error),
      },
    });
  }

  /** Starts the tapdisk on these FIFOs; resolves when it has gone to the background. */
  async spawn(provider: Omit<ProviderOptions, 'readFifo' | 'writeFifo'>): Promise<void> {
    await spawnProvider({ ...provider, readFifo: this.writeFifo, writeFifo: this.readFifo });
  }

  /** PID: resolves to the tapdisk's process id. @throws TAPDISK_NO_ANSWER */
  async pid(): Promise<number> {
    const answer = await this.ask({ name: 'PID', cookie: 0, driverType: 0 }, ['PID_RSP']);
    if (answer.name === 'PID_RSP') this.tapdiskPid = answer.pid;
    return this.tapdiskPid ?? 0;
  }

  /** PARAMS: opens an image. @throws TAPDISK_OPEN_FAILED, TAPDISK_NO_ANSWER, TAPDISK_DIED */
  async open(
    cookie: number,
    image: { path: string; readOnly: boolean; driverType: number },
  ): Promise<OpenedImage> {
    const answer = await this.ask({ name: 'PARAMS', cookie, ...image }, ['IMG', 'IMG_FAIL']);
    if (answer.name === 'IMG') {
      return { sectors: answer.sectors, sectorSize: answer.sectorSize, info: answer.info };
    }
    throw new TapdiskError(
      'TAPDISK_OPEN_FAILED',
      `The tapdisk process could not open ${JSON.stringify(image.path)}; its log says why.`,
    );
  }

  /** NEWDEV: connects the ring. @throws TAPDISK_CONNECT_FAILED, TAPDISK_NO_ANSWER, TAPDISK_DIED */
  async connect(
    cookie: number,
    device: { minor: number; domid: number; driverType: number },
  ): Promise<void> {
    const expected = ['NEWDEV_RSP', 'NEWDEV_FAIL'] as const;
    const answer = await this.ask({ name: 'NEWDEV', cookie, ...device }, expected);
    if (answer.name === 'NEWDEV_RSP') return;
    throw new TapdiskError(
      'TAPDISK_CONNECT_FAILED',
      `The tapdisk process could not connect device ${device.minor}; its log says why.`,
    );
  }

  /** CLOSE: never answered; the process ends after its last one. */
  closeDisk(cookie: number, driverType: number): void {
    this.link.send(encodeMessage({ name: 'CLOSE', cookie, driverType }, this.options.dataModel));
  }

  /** Closes and removes the FIFOs; the tapdisk goes on, and is reached by its control socket. */
  async dispose(): Promise<void> {
    await this.link.close();
    rmSync(this.readFifo, { force: true });
    rmSync(this.writeFifo, { force: true });
  }

  private ask(question: ControlMessage, names: readonly MessageName[]): Promise<ControlMessage> {
    const answer = this.turn.then(() => this.askNow(question, names));
    this.turn = answer.catch(() => undefined);
    return answer;
  }

  private async askNow(
    question: ControlMessage,
    names: readonly MessageName[],
  ): Promise<ControlMessage> {
    if (this.broken !== null) throw this.broken;
    const timeoutMs = this.options.answerTimeoutMs ?? ANSWER_TIMEOUT_MS;
    let timer: NodeJS.Timeout | undefined;
    let aliveCheck: NodeJS.Timeout | undefined;
    try {
      return await new Promise<ControlMessage>((resolve, reject) => {
        const giveUp = (error: TapdiskError): void => {
          this.broken = error;
          reject(error);
        };
        timer = setTimeout(() => giveUp(noAnswer(question.name, timeoutMs)), timeoutMs);
        aliveCheck = setInterval(() => {
          const pid = this.tapdiskPid;
          if (pid !== null && !processIsAlive(pid)) giveUp(died(pid, question.name));
        }, ALIVE_CHECK_INTERVAL_MS);
        this.waiting = { names, resolve };
        if (!this.link.send(encodeMessage(question, this.options.dataModel))) {
          giveUp(noAnswer(question.name, 0));
        }
      });
    } finally {
      this.waiting = null;
      clearTimeout(timer);
      clearInterval(aliveCheck);
    }
  }

  private received(bytes: Buffer): void {
    try {
      const message = decodeMessage(bytes, 'toControl');
      if (this.waiting?.names.includes(message.name)) this.waiting.resolve(message);
      else this.log.warn({ message: message.name }, 'an answer that nobody asked for');
    } catch (error) {
      this.log.warn({}, sentenceOf(error));
    }
  }
}

function makeFifo(fifo: string): void {
  try {
    mkfifo(fifo, 0o600);
  } catch (error) {
    throw new TapdiskError(
      'CONTROL_FIFO_CREATE',
      `The FIFO ${fifo} cannot be made (${errnoOf(error) ?? sentenceOf(error)}).`,
      { cause: error },
    );
  }
}

function noAnswer(name: MessageName, timeoutMs: number): TapdiskError {
  return new TapdiskError(
    'TAPDISK_NO_ANSWER',
    `The tapdisk process did not answer ${name} within ${timeoutMs} ms; its log may say why.`,
  );
}

function died(pid: number, name: MessageName): TapdiskError {
  return new TapdiskError(
    'TAPDISK_DIED',
    `The tapdisk process ${pid} ended before it answered ${name}; its log may say why.`,
  );
}
