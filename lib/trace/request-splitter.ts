/** Turns a request of a trace into one or several that fit a ring. */
import { assert } from '../assert';
import { TapdiskError } from '../errors';
import { SECTOR_BYTES } from '../sector';
import {
  REQUEST_BARRIER,
  REQUEST_DISCARD,
  REQUEST_FLUSH,
  REQUEST_READ,
  REQUEST_WRITE,
  REQUEST_WRITE_ZEROES,
  STATUS_OKAY,
} from '../vbd/request';
import { SEGMENTS_MAX } from './limits';
import type { ReplayOperation, ReplayRequest, ReplayTarget } from './replay-target';
import type { TraceBatch } from './trace-batch';
import { PAGE_SECTORS, PAYLOAD_BYTES, packedSegments } from './trace-record';

/** Only reads and writes can be indirect; all others have at most 11 segments. */
const DIRECT_SEGMENTS_MAX = 11;

/** Holds one request of the trace, and gives it out piece by piece. */
export class RequestSplitter {
  /** False once the last piece was taken. */
  active = false;
  /** The next piece. */
  operation: ReplayOperation = REQUEST_READ;
  sector = 0;
  sectorCount = 0;
  /** Number of the request in the trace. */
  traceNumber = 0;
  /** The next piece's recorded payload, or null where it is to be made up. */
  payload: Uint8Array | null = null;
  /** Requests left out: of no sectors, or refused by the recorded disk and by this one too. */
  skipped = 0;

  private left = 0;
  private pieceSectorsMax = 0;
  private recordedPayload: Uint8Array | null = null;
  private payloadAt = 0;
  private segmentCount = 0;
  private readonly segmentFirst = new Uint8Array(SEGMENTS_MAX);
  private readonly segmentLast = new Uint8Array(SEGMENTS_MAX);

  constructor(
    private readonly target: Pick<
      ReplayTarget,
      'sectors' | 'readOnly' | 'sectorsMax' | 'takesShapes'
    >,
  ) {}

  /** Whether the next piece changes what the disk holds. */
  get writes(): boolean {
    return this.operation !== REQUEST_READ;
  }

  /**
   * Takes column `index` of a batch.
   * @throws TapdiskError REPLAY_DISK_TOO_SMALL, REPLAY_READ_ONLY
   */
  begin(batch: TraceBatch, index: number, traceNumber: number): void {
    assert(!this.active, 'one request is split at a time');
    this.traceNumber = traceNumber;
    this.operation = ringOperation(batch.operation[index]);
    this.sector = batch.sector[index];
    this.left = batch.sectorCount[index];
    if (this.refusedByDisk(batch.status[index])) return;
    const isDirectOnly = this.operation === REQUEST_BARRIER || this.operation === REQUEST_FLUSH;
    this.pieceSectorsMax =
      this.operation === REQUEST_DISCARD
        ? this.left
        : Math.min(
            this.target.sectorsMax,
            (isDirectOnly ? DIRECT_SEGMENTS_MAX : SEGMENTS_MAX) * PAGE_SECTORS,
          );
    this.takeShape(batch, index);
    this.takePayload(batch, index);
    this.active = true;
    this.nextPiece();
  }

  /** Gives out the next piece; `sector` to `payload` then tell of the one after it. */
  take(request: ReplayRequest): void {
    assert(this.active, 'there is a piece to take');
    request.operation = this.operation;
    request.sector = this.sector;
    request.sectorCount = this.sectorCount;
    if (this.operation === REQUEST_DISCARD) {
      request.segmentCount = 0;
    } else if (this.segmentCount > 0) {
      request.segmentCount = this.segmentCount;
      request.segmentFirst.set(this.segmentFirst.subarray(0, this.segmentCount));
      request.segmentLast.set(this.segmentLast.subarray(0, this.segmentCount));
    } else {
      packSegments(request);
    }
    this.sector += this.sectorCount;
    this.left -= this.sectorCount;
    this.payloadAt += this.sectorCount * SECTOR_BYTES;
    if (this.left === 0) this.active = false;
    else this.nextPiece();
  }

  private nextPiece(): void {
    this.sectorCount = Math.min(this.left, this.pieceSectorsMax);
    const end = this.payloadAt + this.sectorCount * SECTOR_BYTES;
    this.payload = this.recordedPayload?.subarray(this.payloadAt, end) ?? null;
  }

  private takeShape(batch: TraceBatch, index: number): void {
    const fits = batch.segmentCount[index] * PAGE_SECTORS <= this.pieceSectorsMax;
    this.segmentCount =
      fits && this.target.takesShapes
        ? batch.readSegments(index, this.segmentFirst, this.segmentLast)
        : 0;
  }

  private takePayload(batch: TraceBatch, index: number): void {
    this.payloadAt = 0;
    this.recordedPayload = null;
    if (batch.payloadKind[index] !== PAYLOAD_BYTES || this.operation === REQUEST_READ) return;
    const at = batch.payloadOffset[index];
    this.recordedPayload = batch.bytes.subarray(at, at + this.left * SECTOR_BYTES);
  }

  /** True where the request is to be left out. */
  private refusedByDisk(recordedStatus: number): boolean {
    const isFlush = this.operation === REQUEST_FLUSH || this.operation === REQUEST_BARRIER;
    if (this.left === 0) {
      if (!isFlush) this.skipped++;
      return !isFlush;
    }
    const beyond = this.sector + this.left > this.target.sectors;
    const unwritable = this.target.readOnly && this.operation !== REQUEST_READ;
    if (!beyond && !unwritable) return false;
    if (recordedStatus !== STATUS_OKAY) {
      this.skipped++;
      return true;
    }
    if (unwritable) {
      throw new TapdiskError(
        'REPLAY_READ_ONLY',
        `request ${this.traceNumber} of the trace writes, and the disk is read-only: attach it writable`,
      );
    }
    throw new TapdiskError(
      'REPLAY_DISK_TOO_SMALL',
      `request ${this.traceNumber} of the trace ends at sector ${this.sector + this.left}, and the disk has ${this.target.sectors} sectors: replay on a larger volume`,
    );
  }
}

/** A ring knows no write-zeroes: it is replayed as the discard that it is to a ring. */
function ringOperation(recorded: number): ReplayOperation {
  return recorded === REQUEST_WRITE_ZEROES
    ? REQUEST_DISCARD
    : (recorded as typeof REQUEST_READ | typeof REQUEST_WRITE);
}

function packSegments(request: ReplayRequest): void {
  const segments = packedSegments(0, request.sectorCount);
  assert(segments <= SEGMENTS_MAX, 'a piece fits a request');
  request.segmentCount = segments;
  request.segmentFirst.fill(0, 0, segments);
  request.segmentLast.fill(PAGE_SECTORS - 1, 0, segments);
  if (segments > 0) {
    request.segmentLast[segments - 1] = (request.sectorCount - 1) % PAGE_SECTORS;
  }
}
