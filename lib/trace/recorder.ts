/**
 * Records the requests of a running VBD into a trace.
 *
 * The hot path encodes into preallocated blocks; full blocks are written in the background. When
 * the disk cannot keep up, or is full, the recording ends with its reason. The guest never waits.
 */
import { TapdiskError } from '../errors';
import { SECTOR_BYTES } from '../sector';
import type { RequestObserver } from '../vbd/observer';
import {
  REQUEST_BARRIER,
  REQUEST_FLUSH,
  REQUEST_READ,
  REQUEST_WRITE,
  STATUS_OKAY,
  type VbdRequest,
} from '../vbd/request';
import { BlockEncoder } from './block-codec';
import type { EndReason, PayloadMode } from './format';
import {
  BLOCK_BUFFER_BYTES,
  BLOCK_BUFFER_PAYLOAD_BYTES,
  RECORD_PAYLOAD_BYTES_MAX,
  RECORDER_BUFFERS,
  RECORDER_FLUSH_INTERVAL_MS,
  RECORDER_SLOTS_MAX,
} from './limits';
import { loadPayloadHash, type PayloadHash } from './payload-hash';
import { PayloadStaging } from './payload-staging';
import { setSegmentsOfRuns } from './request-shape';
import { TraceFile, type OpenTraceFile } from './trace-file';
import { PAYLOAD_BYTES, PAYLOAD_HASH, PAYLOAD_NONE, TraceRecord } from './trace-record';

export interface RecorderOptions {
  readonly path: string;
  readonly payload: PayloadMode;
  /** Size of the recorded disk. */
  readonly sectors: number;
  /** Called once if the recording ends by itself; `stop` is still to be called. */
  readonly onEnded?: (reason: TapdiskError) => void;
  /** For tests: a file that fails. */
  readonly openFile?: OpenTraceFile;
}

export interface Recording {
  readonly path: string;
  /** Requests in the trace. */
  readonly requests: number;
  readonly endReason: EndReason;
}

export class TraceRecorder implements RequestObserver {
  readonly path: string;
  /** Why the recording ended by itself, or null. */
  failure: TapdiskError | null = null;

  private recording = true;
  private endReason: EndReason = 'stopped';
  private readonly startedUs = performance.now() * 1000;
  private readonly record = new TraceRecord();
  private readonly started = new Uint8Array(RECORDER_SLOTS_MAX);
  private readonly hashes = new Uint32Array(RECORDER_SLOTS_MAX);
  private readonly staging = new PayloadStaging();

  private block: BlockEncoder;
  private readonly free: BlockEncoder[] = [];
  private readonly full: BlockEncoder[] = [];
  private writing: Promise<void> | null = null;
  private readonly timer: NodeJS.Timeout;

  /** Loads what `start` takes, which may be asked for long after; that it failed is told then. */
  static prepare(): void {
    loadPayloadHash().catch(() => {});
  }

  /** @throws TapdiskError TRACE_EXISTS, TRACE_WRITE_FAILED */
  static async start(options: RecorderOptions): Promise<TraceRecorder> {
    const hash = await loadPayloadHash();
    const header = {
      payload: options.payload,
      sectors: options.sectors,
      startedAtMs: Date.now(),
    };
    const file = await TraceFile.create(options.path, header, options.openFile);
    return new TraceRecorder(options, file, hash);
  }

  private constructor(
    private readonly options: RecorderOptions,
    private readonly file: TraceFile,
    private readonly hash: PayloadHash,
  ) {
    this.path = options.path;
    const lengthBytes =
      options.payload === 'full' ? BLOCK_BUFFER_PAYLOAD_BYTES : BLOCK_BUFFER_BYTES;
    for (let i = 0; i < RECORDER_BUFFERS; i++) {
      this.free.push(new BlockEncoder(Buffer.allocUnsafe(lengthBytes)));
    }
    this.block = this.free.pop() as BlockEncoder;
    this.timer = setInterval(() => this.flushIdle(), RECORDER_FLUSH_INTERVAL_MS);
    this.timer.unref();
  }

  /** Keeps a write's payload now: the guest may change it as soon as it is answered. */
  requestStarted(request: VbdRequest): void {
    const { slot } = request;
    if (!this.recording || slot >= RECORDER_SLOTS_MAX) return;
    this.started[slot] = 1;
    if (!carriesWrittenData(request) || !this.keepsPayload(request)) return;
    if (this.options.payload === 'full' && this.staging.keep(request)) {
      return;
    }
    this.hashes[slot] = this.hash(this.staging.gather(request));
  }

  /** Requests that were in flight when the recording began are not recorded. */
  requestEnded(request: VbdRequest, latencyUs: number): void {
    const { slot } = request;
    if (slot >= RECORDER_SLOTS_MAX || this.started[slot] === 0) return;
    this.started[slot] = 0;
    if (!this.recording || !Number.isSafeInteger(request.sector + request.sectorCount)) {
      this.staging.drop(slot);
      return;
    }
    const { record } = this;
    const elapsedUs = performance.now() * 1000 - this.startedUs;
    record.timeUs = Math.max(0, Math.round(elapsedUs - latencyUs));
    record.latencyUs = Math.max(0, Math.round(latencyUs));
    record.ringId = request.ringIndex;
    record.operation = request.operation;
    record.forceUnitAccess = request.forceUnitAccess;
    record.status = request.status;
    record.sector = request.sector;
    setSegmentsOfRuns(record, request);
    this.takePayload(request, record);
    if (!this.block.append(record)) this.nextBlock();
    this.staging.drop(slot);
  }

  /** Completes the trace. Failures of the disk are told by `failure`, not by a rejection. */
  async stop(): Promise<Recording> {
    this.recording = false;
    clearInterval(this.timer);
    if (this.block.records > 0) this.full.push(this.block);
    await (this.writing ?? this.writeBlocks());
    try {
      await this.file.finish(this.endReason);
    } catch (error) {
      this.end('write-error', error as TapdiskError);
    }
    return { path: this.path, requests: this.file.records, endReason: this.endReason };
  }

  private keepsPayload(request: VbdRequest): boolean {
    return (
      this.options.payload !== 'none' &&
      request.runCount > 0 &&
      request.sectorCount * SECTOR_BYTES <= RECORD_PAYLOAD_BYTES_MAX &&
      bytesOfRuns(request) === request.sectorCount * SECTOR_BYTES
    );
  }

  private takePayload(request: VbdRequest, record: TraceRecord): void {
    record.payloadKind = PAYLOAD_NONE;
    if (!this.keepsPayload(request)) return;
    const written = carriesWrittenData(request);
    if (!written && (request.operation !== REQUEST_READ || request.status !== STATUS_OKAY)) return;
    const kept = written ? this.staging.kept(request.slot) : null;
    if (kept !== null) {
      record.payloadKind = PAYLOAD_BYTES;
      record.payload = kept;
    } else if (written) {
      record.payloadKind = PAYLOAD_HASH;
      record.payloadHash = this.hashes[request.slot];
    } else if (this.options.payload === 'full') {
      record.payloadKind = PAYLOAD_BYTES;
      record.payload = this.staging.gather(request);
    } else {
      record.payloadKind = PAYLOAD_HASH;
      record.payloadHash = this.hash(this.staging.gather(request));
    }
  }

  /** The block is full: the record goes into the next one, if the disk has given one back. */
  private nextBlock(): void {
    const next = this.free.pop();
    if (next === undefined) {
      this.end(
        'overloaded',
        new TapdiskError(
          'TRACE_OVERLOADED',
          `the recording to ${this.path} ended: its disk is slower than the requests come; record hashes instead of payloads, or to a faster disk`,
        ),
      );
      return;
    }
    this.full.push(this.block);
    this.block = next;
    this.block.append(this.record);
    this.writing ??= this.writeBlocks();
  }

  private flushIdle(): void {
    if (!this.recording || this.block.records === 0 || this.writing !== null) return;
    const next = this.free.pop();
    if (next === undefined) return;
    this.full.push(this.block);
    this.block = next;
    this.writing = this.writeBlocks();
  }

  private async writeBlocks(): Promise<void> {
    try {
      for (let block = this.full.shift(); block !== undefined; block = this.full.shift()) {
        if (this.endReason !== 'write-error') await this.file.writeBlock(block);
        block.reset();
        this.free.push(block);
      }
    } catch (error) {
      this.full.length = 0;
      this.end('write-error', error as TapdiskError);
    } finally {
      this.writing = null;
    }
  }

  private end(reason: EndReason, failure: TapdiskError): void {
    this.recording = false;
    this.endReason = reason;
    if (this.failure !== null) return;
    this.failure = failure;
    this.options.onEnded?.(failure);
  }
}

function carriesWrittenData(request: VbdRequest): boolean {
  return (
    request.operation === REQUEST_WRITE ||
    request.operation === REQUEST_BARRIER ||
    request.operation === REQUEST_FLUSH
  );
}

/** A refused request's runs need not add up. */
function bytesOfRuns(request: VbdRequest): number {
  let bytes = 0;
  for (let run = 0; run < request.runCount; run++) bytes += request.runLengths[run];
  return bytes;
}
