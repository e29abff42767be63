/** The tapdisk side of the two FIFOs: takes blktapctrl's requests to the DiskHost and answers them. */
import { sentenceOf, TapdiskError } from '../errors';
import type { DiskHost, OpenedImage } from './disk-host';
import { DRIVER_TYPES_SERVED } from './driver-types';
import { Failures } from './failures';
import { FifoLink } from './fifo-link';
import {
  ANSWER_TIMEOUT_MS,
  HOST_TIMEOUT_MS,
  MESSAGES_PENDING_MAX,
  ORPHAN_TIMEOUT_MS,
} from './limits';
import { silentLog, type Log } from './log';
import {
  decodeMessage,
  describeMessage,
  encodeMessage,
  malformedMessage,
  type ControlMessage,
  type DataModel,
  type NewDeviceMessage,
  type ParamsMessage,
} from './messages';

export interface FifoServerOptions {
  /** argv[1] and argv[2] of tapdisk: what it reads, what it writes. */
  readonly readFifo: string;
  readonly writeFifo: string;
  readonly host: DiskHost;
  /** Called once, when the process has nothing to serve any more and should end. */
  readonly onIdle: (reason: string) => void;
  readonly dataModel?: DataModel;
  readonly log?: Log;
  readonly failures?: Failures;
  readonly hostTimeoutMs?: number;
  readonly partialTimeoutMs?: number;
  readonly orphanTimeoutMs?: number;
}

/** The layout that IMG is answered in: TAPDISK_TS_DATA_MODEL=ilp32 for a 32-bit toolstack. */
export function dataModelOf(env: NodeJS.ProcessEnv): DataModel {
  return env['TAPDISK_TS_DATA_MODEL'] === 'ilp32' ? 'ilp32' : 'lp64';
}

/** Milliseconds that a toolstack which started us waits for an answer, where it is not blktapctrl. */
export const ANSWER_TIMEOUT_VARIABLE = 'TAPDISK_TS_ANSWER_TIMEOUT_MS';

/** HOST_TIMEOUT_MS, or what lies as far before the wait that the environment tells. */
export function hostTimeoutOf(env: NodeJS.ProcessEnv): number {
  const waitsMs = Number(env[ANSWER_TIMEOUT_VARIABLE] ?? ANSWER_TIMEOUT_MS);
  const marginMs = ANSWER_TIMEOUT_MS - HOST_TIMEOUT_MS;
  return waitsMs > ANSWER_TIMEOUT_MS ? waitsMs - marginMs : HOST_TIMEOUT_MS;
}

const LATE = Symbol('late');

/**
 * Messages of one cookie are worked on in order; PID and other cookies do not wait for them.
 * Construction opens the FIFOs and throws CONTROL_FIFO_OPEN or CONTROL_NOT_FIFO.
 */
export class FifoServer {
  private readonly link: FifoLink;
  private readonly log: Log;
  /** The end of each cookie's last message. */
  private readonly tails = new Map<number, Promise<void>>();
  private pending = 0;
  private idle = false;
  private orphanTimer: NodeJS.Timeout | undefined;

  constructor(private readonly options: FifoServerOptions) {
    this.log = options.log ?? silentLog;
    this.link = new FifoLink({
      readFifo: options.readFifo,
      writeFifo: options.writeFifo,
      direction: 'toTapdisk',
      sink: {
        message: (bytes) => this.received(bytes),
        refused: (reason, header) => this.refused(malformedMessage(reason), header),
        failed: (error) => this.linkFailed(error),
      },
      ...(options.partialTimeoutMs !== undefined && { partialTimeoutMs: options.partialTimeoutMs }),
    });
    this.awaitDisk();
  }

  /** Stops listening; disks stay as they are. */
  async close(): Promise<void> {
    this.idle = true;
    clearTimeout(this.orphanTimer);
    await this.link.close();
  }

  private received(bytes: Buffer): void {
    let message: ControlMessage;
    try {
      message = decodeMessage(bytes, 'toTapdisk');
    } catch (error) {
      const header = { driverType: bytes.readUInt16LE(4), cookie: bytes.readUInt16LE(6) };
      this.refused(error, { type: bytes.readUInt16LE(0), ...header });
      return;
    }
    if (message.name === 'PID') {
      // The cookie is whatever was in blktapctrl's memory: echoed, never looked at.
      const { driverType, cookie } = message;
      this.answer({ name: 'PID_RSP', driverType, cookie, pid: process.pid });
      this.awaitDisk();
      return;
    }
    this.enqueue(message);
  }

  private enqueue(message: ControlMessage): void {
    this.pending += 1;
    if (this.pending >= MESSAGES_PENDING_MAX) this.link.pause();
    clearTimeout(this.orphanTimer);
    const before = this.tails.get(message.cookie) ?? Promise.resolve();
    const tail = before
      .then(() => this.work(message))
      .catch((error: unknown) => this.failed(message, error))
      .then(() => {
        this.pending -= 1;
        if (this.tails.get(message.cookie) === tail) this.tails.delete(message.cookie);
        if (this.pending === MESSAGES_PENDING_MAX - 1) this.link.resume();
        if (message.name === 'CLOSE') this.endIfUnused();
        this.awaitDisk();
      });
    this.tails.set(message.cookie, tail);
  }

  private work(message: ControlMessage): Promise<void> {
    switch (message.name) {
      case 'PARAMS':
        return this.open(message);
      case 'NEWDEV':
        return this.connect(message);
      case 'CLOSE':
        return this.options.host.close(message.cookie);
      default:
        return Promise.resolve();
    }
  }

  private async open(message: ParamsMessage): Promise<void> {
    const { driverType, cookie, path, readOnly } = message;
    if (!DRIVER_TYPES_SERVED.has(driverType)) {
      throw new TapdiskError(
        'DRIVER_TYPE_UNKNOWN',
        `Disk type ${driverType} of ${JSON.stringify(path)} is not served; use aio:pool/volume.`,
      );
    }
    const opening = this.options.host.open(cookie, { path, readOnly, driverType });
    const image = await this.inTime(opening);
    if (image === LATE) {
      this.failed(message, tooLate(`Opening ${JSON.stringify(path)}`));
      await this.closeLate(cookie, opening);
      return;
    }
    try {
      this.answer({ name: 'IMG', driverType, cookie, ...picture(image) });
    } catch (error) {
      await this.closeLate(cookie, opening);
      throw error;
    }
    this.log.info({ cookie, path, readOnly, sectors: image.sectors }, 'opened');
  }

  private async connect(message: NewDeviceMessage): Promise<void> {
    const { driverType, cookie, minor, domid } = message;
    const connecting = this.options.host.connect(cookie, { minor, domid });
    if ((await this.inTime(connecting)) === LATE) {
      this.failed(message, tooLate(`Connecting device ${minor}`));
      await this.closeLate(cookie, connecting);
      return;
    }
    this.answer({ name: 'NEWDEV_RSP', driverType, cookie });
    this.log.info({ cookie, minor, domid }, 'connected');
  }

  /** The toolstack was told FAIL, so what still succeeds has no owner: it is closed again. */
  private async closeLate(cookie: number, work: Promise<unknown>): Promise<void> {
    try {
      await work;
    } catch (error) {
      this.log.warn({ cookie }, sentenceOf(error));
      return;
    }
    await this.options.host.close(cookie).catch((error: unknown) => {
      this.log.error({ cookie }, `not closed: ${sentenceOf(error)}`);
    });
  }

  private async inTime<T>(work: Promise<T>): Promise<T | typeof LATE> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<typeof LATE>((resolve) => {
      timer = setTimeout(() => resolve(LATE), this.options.hostTimeoutMs ?? HOST_TIMEOUT_MS);
    });
    try {
      return await Promise.race([work, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  private failed(message: ControlMessage, error: unknown): void {
    const { name, driverType, cookie } = message;
    const failure = this.options.failures?.record(cookie, error);
    this.log.error({ cookie, message: name, code: failure?.code }, sentenceOf(error));
    if (name === 'PARAMS') this.answer({ name: 'IMG_FAIL', driverType, cookie });
    if (name === 'NEWDEV') this.answer({ name: 'NEWDEV_FAIL', driverType, cookie });
  }

  /** A message that cannot be read is still answered where its kind is known, to spare the wait. */
  private refused(
    error: unknown,
    header: { type: number; driverType: number; cookie: number } | null,
  ): void {
    this.log.warn({ ...header }, sentenceOf(error));
    if (header === null) return;
    const { driverType, cookie } = header;
    this.options.failures?.record(cookie, error);
    const name = describeMessage(header.type, 'toTapdisk')?.name;
    if (name === 'PARAMS') this.answer({ name: 'IMG_FAIL', driverType, cookie });
    if (name === 'NEWDEV') this.answer({ name: 'NEWDEV_FAIL', driverType, cookie });
  }

  private answer(message: ControlMessage): void {
    const bytes = encodeMessage(message, this.options.dataModel ?? 'lp64');
    if (!this.link.send(bytes)) {
      this.log.warn({ cookie: message.cookie }, `${message.name} dropped: nobody reads answers`);
    }
  }

  /** Without pipes the disks go on: a guest must not lose them for that. */
  private linkFailed(error: TapdiskError): void {
    this.log.error({ code: error.code }, error.message);
    this.endIfUnused(error.message);
  }

  /** Ends the process if nothing is open or asked for: after a CLOSE, or an admin's detach. */
  endIfUnused(reason = 'last disk closed'): void {
    if (this.pending === 0 && this.options.host.openDisks === 0) this.becomeIdle(reason);
  }

  private awaitDisk(): void {
    clearTimeout(this.orphanTimer);
    if (this.idle || this.pending > 0 || this.options.host.openDisks > 0) return;
    this.orphanTimer = setTimeout(() => {
      if (this.pending === 0 && this.options.host.openDisks === 0) {
        this.becomeIdle('no disk was opened');
      }
    }, this.options.orphanTimeoutMs ?? ORPHAN_TIMEOUT_MS);
  }

  private becomeIdle(reason: string): void {
    if (this.idle) return;
    this.idle = true;
    clearTimeout(this.orphanTimer);
    this.options.onIdle(reason);
  }
}

function picture(image: OpenedImage): OpenedImage {
  return { sectors: image.sectors, sectorSize: image.sectorSize, info: image.info };
}

function tooLate(what: string): TapdiskError {
  const message = `${what} took longer than the toolstack waits; it is given up.`;
  return new TapdiskError('HOST_TOO_SLOW', message, { transient: true });
}
