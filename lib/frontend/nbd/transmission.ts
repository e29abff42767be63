/** One connection's transmission phase: requests from bytes to the VBD, replies back. */
import type { Socket } from 'node:net';
import { assert } from '../../assert';
import { TapdiskError } from '../../errors';
import { SECTOR_BYTES } from '../../sector';
import {
  REQUEST_DISCARD,
  REQUEST_FLUSH,
  REQUEST_READ,
  REQUEST_WRITE,
  REQUEST_WRITE_ZEROES,
  type RequestOperation,
  type RequestSource,
  type VbdRequest,
} from '../../vbd/request';
import { EXTENT_BYTES, writeExtents } from './block-status';
import { errorNumberOf } from './error-numbers';
import type { NbdExport } from './export';
import type { LargeAreas } from './large-areas';
import { EXTENTS_MAX, PAYLOAD_BYTES_MAX, POOL_RETRY_MS } from './limits';
import {
  CMD_BLOCK_STATUS,
  CMD_CACHE,
  CMD_DISC,
  CMD_FLAG_FUA,
  CMD_FLAG_NO_HOLE,
  CMD_FLAG_REQ_ONE,
  CMD_FLUSH,
  CMD_READ,
  CMD_TRIM,
  CMD_WRITE,
  CMD_WRITE_ZEROES,
  NBD_OK,
  REQUEST_BYTES,
  REQUEST_MAGIC,
} from './protocol';
import {
  writeBlockStatusChunk,
  writeDataChunk,
  writeErrorChunk,
  writeSimpleReply,
} from './reply-headers';
import { ReplyWriter } from './reply-writer';
import { checkRequestHeader, RequestHeader, type RequestRules } from './request-header';
import { RequestSlots } from './request-slots';
import { ZeroSteps } from './zero-steps';

export interface TransmissionOptions {
  readonly export: NbdExport;
  readonly structured: boolean;
  readonly blockStatus: boolean;
  readonly socket: Socket;
  /** The socket's descriptor, or -1 where replies must go through its stream. */
  readonly fd: number;
  readonly largeAreas: LargeAreas;
  /** All input was taken after `receive` had said to wait: read on. */
  readonly onReadable: () => void;
  /** The client asked for the end, and all its requests are answered. */
  readonly onFinished: () => void;
  /** The client broke the protocol; its connection must be closed now. */
  readonly onViolation: (reason: TapdiskError) => void;
}

const NO_INPUT = Buffer.alloc(0);

export class Transmission implements RequestSource {
  /** Requests at the VBD. */
  inFlight = 0;
  /** Requests taken. */
  requests = 0;

  private readonly slots: RequestSlots;
  private readonly replies: ReplyWriter;
  private readonly zeroSteps = new ZeroSteps();
  private readonly header = new RequestHeader();
  private readonly rules: RequestRules;
  private readonly device: NbdExport['device'];

  /** Times that something came. */
  private received = 0;
  private input: Buffer = NO_INPUT;
  private at = 0;
  private end = 0;
  /** A header that came in parts. */
  private readonly carry = Buffer.alloc(REQUEST_BYTES);
  private carried = 0;
  /** The write whose payload is coming, and how much of it has not. */
  private writing: VbdRequest | null = null;
  private payloadLeft = 0;
  private payloadAt = 0;
  /** Payload of a refused write, to be passed over. */
  private skipLeft = 0;

  /** There is no slot, memory or request of the VBD for the next header. */
  private isBlocked = false;
  private mayGoOn = false;
  private poolRetry: NodeJS.Timeout | null = null;
  private hasSubmitted = false;
  private isWorking = false;
  /** Nothing more is taken from the client. */
  private isEnding = false;
  private isFinished = false;
  private isAbandoned = false;

  constructor(private readonly options: TransmissionOptions) {
    const { device } = options.export;
    this.device = device;
    this.rules = { readOnly: device.readOnly, blockStatus: options.blockStatus };
    this.slots = new RequestSlots(options.largeAreas, this.goOn);
    this.replies = new ReplyWriter(this.slots, options.socket, options.fd, this.goOn);
  }

  /** Rises with what comes and what goes. */
  get progress(): number {
    return this.received + this.replies.sent;
  }

  /** In the middle of a request, or with replies that the client does not take. */
  get isOwed(): boolean {
    if (this.replies.waiting > 0) return true;
    if (this.isBlocked) return false;
    return this.carried > 0 || this.payloadLeft > 0 || this.skipLeft > 0;
  }

  /** The payload's place for bytes that have not come yet; empty where none is awaited. */
  payloadRoom(): Buffer {
    const { writing } = this;
    if (writing === null || this.payloadLeft === 0) return NO_INPUT;
    return writing.memory.bytes.subarray(this.payloadAt, this.payloadAt + this.payloadLeft);
  }

  /** So many bytes were read straight into `payloadRoom`. */
  receivedInPlace(lengthBytes: number): void {
    // The server's end may have dropped the write meanwhile.
    if (this.writing === null) return;
    this.received++;
    this.payloadAt += lengthBytes;
    this.payloadLeft -= lengthBytes;
    this.work();
  }

  /**
   * Takes what came. False: not all of it could be taken yet, so read no more until `onReadable`;
   * the bytes stay as they are until then.
   */
  receive(bytes: Buffer, lengthBytes: number): boolean {
    if (this.isEnding) return true;
    assert(this.at === this.end, 'nothing is read before all input was taken');
    this.received++;
    this.input = bytes;
    this.at = 0;
    this.end = lengthBytes;
    this.work();
    return !this.isBlocked;
  }

  /** The client sends no more, or the server ends: answers what it has, then `onFinished`. */
  finish(): void {
    this.isEnding = true;
    this.isBlocked = false;
    this.dropInput();
    this.work();
  }

  /**
   * The socket is gone: nothing of this connection is sent or taken any more. Its memory is given
   * back when the VBD has no request of it.
   */
  abandon(): void {
    this.isAbandoned = true;
    this.isEnding = true;
    this.dropInput();
    if (this.poolRetry !== null) clearTimeout(this.poolRetry);
    if (this.inFlight === 0) this.slots.close();
  }

  requestDone(request: VbdRequest): void {
    assert(this.inFlight > 0, 'a request that ends was in flight');
    const slot = request.idLow;
    const error = errorNumberOf(request);
    if (error !== NBD_OK) this.zeroSteps.cancel(slot);
    if (!this.zeroSteps.isOver(slot) && !this.isAbandoned) {
      this.zeroSteps.fill(slot, request);
      this.device.submit(request);
      this.hasSubmitted = true;
      return;
    }
    this.inFlight--;
    this.mayGoOn = true;
    this.zeroSteps.cancel(slot);
    this.device.release(request);
    if (!this.isAbandoned) this.reply(slot, error, request.sector);
  }

  batchDone(): void {
    if (this.isAbandoned) {
      if (this.inFlight === 0) this.slots.close();
      return;
    }
    this.work();
  }

  /** There may be room again for what had to wait. */
  private readonly goOn = (): void => {
    this.mayGoOn = true;
    this.work();
  };

  /** Takes, submits and answers as far as it goes now. */
  private work(): void {
    if (this.isWorking || this.isAbandoned) return;
    this.isWorking = true;
    const wasBlocked = this.isBlocked;
    do {
      this.mayGoOn = false;
      this.isBlocked = false;
      this.takeInput();
      if (this.hasSubmitted) {
        this.hasSubmitted = false;
        this.device.kick();
      }
      const sentBefore = this.replies.sent;
      this.replies.flush();
      if (this.replies.sent !== sentBefore) this.mayGoOn = true;
    } while ((this.isBlocked && this.mayGoOn) || this.hasSubmitted);
    this.isWorking = false;
    if (wasBlocked && !this.isBlocked && !this.isEnding) this.options.onReadable();
    if (this.isEnding) this.finishIfDone();
  }

  private finishIfDone(): void {
    if (this.isFinished || this.isAbandoned) return;
    if (this.inFlight > 0 || this.replies.waiting > 0) return;
    this.isFinished = true;
    this.options.onFinished();
  }

  private takeInput(): void {
    for (;;) {
      if (this.writing !== null) {
        this.takePayload(this.writing);
        if (this.payloadLeft > 0) return;
        continue;
      }
      if (this.skipLeft > 0) {
        const length = Math.min(this.skipLeft, this.end - this.at);
        this.skipLeft -= length;
        this.at += length;
        if (this.skipLeft > 0) return;
      }
      if (!this.takeHeader()) return;
    }
  }

  /** False: there is no whole header, or no room for what it asks for. */
  private takeHeader(): boolean {
    const available = this.end - this.at;
    if (this.carried === 0 && available >= REQUEST_BYTES) {
      if (!this.accept(this.input, this.at)) return false;
      this.at += REQUEST_BYTES;
      return true;
    }
    const length = Math.min(REQUEST_BYTES - this.carried, available);
    this.input.copy(this.carry, this.carried, this.at, this.at + length);
    this.carried += length;
    this.at += length;
    if (this.carried < REQUEST_BYTES || !this.accept(this.carry, 0)) return false;
    this.carried = 0;
    return true;
  }

  private takePayload(request: VbdRequest): void {
    const length = Math.min(this.payloadLeft, this.end - this.at);
    if (length > 0) {
      this.input.copy(request.memory.bytes, this.payloadAt, this.at, this.at + length);
      this.at += length;
      this.payloadAt += length;
      this.payloadLeft -= length;
    }
    if (this.payloadLeft > 0) return;
    this.writing = null;
    this.submit(request);
  }

  /** Takes a request by its header; false where it has to wait. */
  private accept(from: Buffer, at: number): boolean {
    const { header, slots } = this;
    header.decode(from, at);
    if (header.magic !== REQUEST_MAGIC) {
      return this.violate(`a request begins with 0x${header.magic.toString(16)}`);
    }
    if (header.command === CMD_DISC) {
      this.finishAfterInput();
      return false;
    }
    if (header.command === CMD_WRITE && header.length > PAYLOAD_BYTES_MAX) {
      return this.violate(
        `a write of ${header.length} bytes is beyond the limit of ${PAYLOAD_BYTES_MAX}`,
      );
    }
    const slot = slots.take();
    if (slot < 0) return this.block();
    slots.cookieHigh[slot] = header.cookieHigh;
    slots.cookieLow[slot] = header.cookieLow;
    slots.commands[slot] = header.command;
    const error = checkRequestHeader(header, this.rules, this.device.sectors);
    if (error !== NBD_OK) {
      if (header.command === CMD_WRITE) this.skipLeft = header.length;
      this.reply(slot, error, 0);
    } else if (!this.begin(slot)) {
      slots.give(slot);
      return this.block();
    }
    this.requests++;
    return true;
  }

  /** Does what the header, which is sound, asks for; false where something is not to be had now. */
  private begin(slot: number): boolean {
    const { header, device, slots } = this;
    const { command } = header;
    if (command === CMD_CACHE) {
      // There is no cache that it could fill.
      this.reply(slot, NBD_OK, 0);
      return true;
    }
    if (command === CMD_BLOCK_STATUS) return this.answerBlockStatus(slot);
    const carriesData = command === CMD_READ || command === CMD_WRITE;
    const request = device.acquire();
    if (request === null) {
      this.waitForPool();
      return false;
    }
    if (carriesData && !slots.takeMemory(slot, header.length)) {
      device.release(request);
      return false;
    }
    this.fill(request, slot);
    if (command !== CMD_WRITE) {
      this.submit(request);
      return true;
    }
    this.writing = request;
    this.payloadLeft = header.length;
    this.payloadAt = request.runOffsets[0];
    return true;
  }

  private fill(request: VbdRequest, slot: number): void {
    const { header, slots } = this;
    const { command, flags, length } = header;
    request.source = this;
    request.idLow = slot;
    request.idHigh = 0;
    request.wireOperation = command;
    request.ringIndex = 0;
    request.forceUnitAccess = (flags & CMD_FLAG_FUA) !== 0 && command !== CMD_READ;
    if (command === CMD_WRITE_ZEROES && (flags & CMD_FLAG_NO_HOLE) !== 0) {
      this.zeroSteps.begin(slot, header.offset / SECTOR_BYTES, length);
      return this.zeroSteps.fill(slot, request);
    }
    request.operation = operationOf(command);
    request.sector = header.offset / SECTOR_BYTES;
    request.sectorCount = length / SECTOR_BYTES;
    request.memory = slots.areaOf(slot);
    request.runCount = 0;
    if (command !== CMD_READ && command !== CMD_WRITE) return;
    if (command === CMD_READ) slots.replyLengths[slot] = length;
    request.runCount = 1;
    request.runOffsets[0] = slots.offsetOf(slot);
    request.runLengths[0] = length;
  }

  private submit(request: VbdRequest): void {
    this.inFlight++;
    this.hasSubmitted = true;
    this.device.submit(request);
  }

  private answerBlockStatus(slot: number): boolean {
    const { header, slots, device } = this;
    if (!slots.takeMemory(slot, EXTENTS_MAX * EXTENT_BYTES)) return false;
    slots.replyLengths[slot] = writeExtents(
      slots.areaOf(slot).bytes,
      slots.offsetOf(slot),
      device,
      header.offset / SECTOR_BYTES,
      header.length / SECTOR_BYTES,
      (header.flags & CMD_FLAG_REQ_ONE) !== 0 ? 1 : EXTENTS_MAX,
    );
    this.reply(slot, NBD_OK, 0);
    return true;
  }

  /** Writes a slot's reply header; it goes out with the others of its batch. */
  private reply(slot: number, error: number, sector: number): void {
    const { slots } = this;
    const { bytes } = slots.memory;
    const at = slots.headerOffsetOf(slot);
    const high = slots.cookieHigh[slot];
    const low = slots.cookieLow[slot];
    const command = slots.commands[slot];
    let length: number;
    if (error !== NBD_OK) {
      slots.replyLengths[slot] = 0;
      const chunk =
        this.options.structured && (command === CMD_READ || command === CMD_BLOCK_STATUS);
      length = chunk
        ? writeErrorChunk(bytes, at, error, high, low)
        : writeSimpleReply(bytes, at, error, high, low);
    } else if (command === CMD_BLOCK_STATUS) {
      length = writeBlockStatusChunk(bytes, at, high, low, slots.replyLengths[slot]);
    } else if (command === CMD_READ && this.options.structured) {
      const data = slots.replyLengths[slot];
      length = writeDataChunk(bytes, at, high, low, sector * SECTOR_BYTES, data);
    } else {
      length = writeSimpleReply(bytes, at, NBD_OK, high, low);
    }
    slots.headerLengths[slot] = length;
    this.replies.push(slot);
  }

  private block(): false {
    this.isBlocked = true;
    return false;
  }

  private violate(what: string): false {
    this.isEnding = true;
    this.dropInput();
    this.options.onViolation(
      new TapdiskError('NBD_PROTOCOL', `The client broke the NBD protocol: ${what}.`),
    );
    return false;
  }

  /** NBD_CMD_DISC: what comes after it is not looked at. */
  private finishAfterInput(): void {
    this.isEnding = true;
    this.dropInput();
  }

  private dropInput(): void {
    this.input = NO_INPUT;
    this.at = this.end = this.carried = 0;
    this.skipLeft = this.payloadLeft = 0;
    if (this.writing === null) return;
    const { writing } = this;
    this.writing = null;
    this.slots.give(writing.idLow);
    this.device.release(writing);
  }

  /** The end of one of our own requests wakes us; with none, only time can. */
  private waitForPool(): void {
    if (this.inFlight > 0 || this.poolRetry !== null) return;
    this.poolRetry = setTimeout(() => {
      this.poolRetry = null;
      this.goOn();
    }, POOL_RETRY_MS);
  }
}

function operationOf(command: number): RequestOperation {
  switch (command) {
    case CMD_READ:
      return REQUEST_READ;
    case CMD_WRITE:
      return REQUEST_WRITE;
    case CMD_FLUSH:
      return REQUEST_FLUSH;
    case CMD_TRIM:
      return REQUEST_DISCARD;
    case CMD_WRITE_ZEROES:
      return REQUEST_WRITE_ZEROES;
    default:
      assert(false, `command ${command} passed the checks`);
  }
}
