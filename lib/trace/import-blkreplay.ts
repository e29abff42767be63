/** Reads the text traces of schoebel/blkreplay (`.load`, `.load.gz`) as a trace source. */
import { createReadStream } from 'node:fs';
import { createGunzip } from 'node:zlib';
import { errnoOf, sentenceOf, TapdiskError } from '../errors';
import { REQUEST_DISCARD, REQUEST_READ, REQUEST_WRITE } from '../vbd/request';
import { corrupt, truncated } from './format';
import { BLOCK_RECORDS_MAX, TEXT_LINE_MAX } from './limits';
import { TraceBatch } from './trace-batch';
import { readFailed } from './trace-reader';
import type { TraceSource, TraceSummary } from './trace-source';

/** The line after which the requests begin; whatever stands above it is a notice for people. */
const COLUMNS_LINE = /^start\s*;\s*sector\s*;/;

/** `seconds ; first sector ; sectors ; operation ; …`; blktrace may append letters ("RA"). */
const REQUEST_LINE = /^\s*(\d+(?:\.\d+)?)\s*;\s*(\d+)\s*;\s*(\d+)\s*;\s*([RWD])[A-Z]*\s*(?:;.*)?$/;

const OPERATIONS: Readonly<Record<string, number>> = {
  R: REQUEST_READ,
  W: REQUEST_WRITE,
  D: REQUEST_DISCARD,
};

const NO_BYTES = new Uint8Array(0);

/** True where the beginning of a file, decompressed, looks like such a trace. */
export function looksLikeBlkreplay(beginning: string): boolean {
  const lines = beginning.split('\n');
  if (lines.some((line) => COLUMNS_LINE.test(line))) return true;
  const first = lines.find((line) => line.trim() !== '');
  return first !== undefined && REQUEST_LINE.test(first);
}

export class BlkreplayTrace implements TraceSource {
  readonly kind = 'blkreplay';
  private scanned: TraceSummary | null = null;

  constructor(
    readonly path: string,
    private readonly compressed: boolean,
  ) {}

  async summary(): Promise<TraceSummary> {
    if (this.scanned !== null) return this.scanned;
    let requests = 0;
    let sectorsNeeded = 0;
    for await (const batch of this.batches()) {
      requests += batch.count;
      for (let i = 0; i < batch.count; i++) {
        sectorsNeeded = Math.max(sectorsNeeded, batch.sector[i] + batch.sectorCount[i]);
      }
    }
    this.scanned = {
      requests,
      sectorsNeeded,
      diskSectors: null,
      payload: 'none',
      startedAtMs: null,
      endReason: 'stopped',
    };
    return this.scanned;
  }

  async *batches(skip = 0): AsyncIterable<TraceBatch> {
    let records = 0;
    let batch = newBatch(0);
    const parser = new LineParser(this.path);
    for await (const line of readLines(this.path, this.compressed)) {
      if (!parser.parse(line)) continue;
      batch.addPlain(parser.timeUs, parser.operation, parser.sector, parser.sectorCount);
      records++;
      if (batch.count === BLOCK_RECORDS_MAX) {
        if (records > skip) yield* skipping(batch, skip);
        batch = newBatch(records);
      }
    }
    if (records > skip) yield* skipping(batch, skip);
  }
}

function newBatch(firstRecord: number): TraceBatch {
  return new TraceBatch(BLOCK_RECORDS_MAX, firstRecord, NO_BYTES);
}

function* skipping(batch: TraceBatch, skip: number): Iterable<TraceBatch> {
  batch.start = Math.max(0, skip - batch.firstRecord);
  if (batch.start < batch.count) yield batch;
}

/** Takes lines in order; its fields hold the last request. */
class LineParser {
  timeUs = 0;
  operation = REQUEST_READ as number;
  sector = 0;
  sectorCount = 0;
  private lineNumber = 0;
  private inRequests = false;
  private sawNotice = false;

  constructor(private readonly path: string) {}

  /** True where the line held a request. */
  parse(line: string): boolean {
    this.lineNumber++;
    const match = REQUEST_LINE.exec(line);
    if (match === null) return this.parseOther(line);
    if (!this.inRequests && this.sawNotice) return false;
    this.inRequests = true;
    this.timeUs = Math.round(Number(match[1]) * 1e6);
    this.sector = Number(match[2]);
    this.sectorCount = Number(match[3]);
    this.operation = OPERATIONS[match[4]];
    if (this.sectorCount === 0) throw this.bad('it has 0 sectors');
    if (!Number.isSafeInteger(this.sector + this.sectorCount)) {
      throw this.bad('its sectors go beyond 2^53');
    }
    if (!Number.isSafeInteger(this.timeUs)) throw this.bad('its time is beyond 2^53 µs');
    return true;
  }

  private parseOther(line: string): boolean {
    if (COLUMNS_LINE.test(line)) {
      this.inRequests = true;
    } else if (line.trim() !== '') {
      if (this.inRequests) {
        throw this.bad('it is not "seconds ; sector ; sectors ; R, W or D ; …"');
      }
      this.sawNotice = true;
    }
    return false;
  }

  private bad(what: string): TapdiskError {
    return new TapdiskError(
      'TRACE_BAD_LINE',
      `${this.path}, line ${this.lineNumber}: not a request: ${what}`,
    );
  }
}

/** Lines without their ends; memory is bounded by the longest line allowed. */
async function* readLines(path: string, compressed: boolean): AsyncGenerator<string> {
  const file = createReadStream(path);
  const stream = compressed ? file.pipe(createGunzip()) : file;
  if (stream !== file) file.on('error', (error) => stream.destroy(error));
  let rest = '';
  let textBytes = 0;
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      textBytes += chunk.length;
      const lines = (rest + chunk.toString('latin1')).split('\n');
      rest = lines.pop() ?? '';
      if (rest.length > TEXT_LINE_MAX) {
        throw new TapdiskError(
          'TRACE_BAD_LINE',
          `${path}: a line longer than ${TEXT_LINE_MAX} characters ends beyond byte ${textBytes}: not a blkreplay load`,
        );
      }
      for (const line of lines) yield line;
    }
    if (rest !== '') yield rest;
  } catch (error) {
    throw readFailed(path, gunzipRefusal(error, textBytes));
  } finally {
    file.destroy();
  }
}

/** zlib's own codes (Z_DATA_ERROR, Z_BUF_ERROR) as the refusals of a damaged trace. */
function gunzipRefusal(error: unknown, textBytes: number): unknown {
  const code = (error as { code?: unknown }).code;
  if (errnoOf(error) !== undefined || typeof code !== 'string') return error;
  if (code === 'Z_BUF_ERROR') {
    return truncated(textBytes, 'the gzip stream (uncompressed) is cut off');
  }
  if (code.startsWith('Z_')) {
    return corrupt(textBytes, `the gzip stream (uncompressed) is damaged: ${sentenceOf(error)}`);
  }
  return error;
}
