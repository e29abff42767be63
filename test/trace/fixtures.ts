/** What the trace tests share: scratch directories, made-up records, reading and replaying a whole trace. */
import fc from 'fast-check';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { SEGMENTS_MAX } from '../../lib/trace/limits';
import type { ReplayOptions } from '../../lib/trace/replay-result';
import type { TraceBatch } from '../../lib/trace/trace-batch';
import {
  PAYLOAD_BYTES,
  PAYLOAD_HASH,
  PAYLOAD_NONE,
  TraceRecord,
} from '../../lib/trace/trace-record';
import type { TraceSource } from '../../lib/trace/trace-source';
import type { RequestOperation } from '../../lib/vbd/request';

/** Recorded traces that may be on this machine; never part of the project. */
export const RECORDED_TRACES =
  process.env.TAPDISK_TS_TRACES ?? resolve(__dirname, '../../../shared/traces');

/** The whole trace once, as fast as it goes, flushed at its end. */
export const WHOLE_TRACE: ReplayOptions = {
  depth: 32,
  speed: 'full',
  skip: 0,
  count: Infinity,
  loops: 1,
  finalFlush: true,
  answerTimeoutMs: 5000,
  reconnectTimeoutMs: 0,
};

/** Runs with a directory of its own, which is gone afterwards. */
export async function withDirectory<T>(work: (directory: string) => Promise<T>): Promise<T> {
  const directory = mkdtempSync(join(tmpdir(), 'tapdisk-ts-trace-'));
  try {
    return await work(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** A record as a plain object, so that what was written and what was read can be compared. */
export interface PlainRecord {
  timeUs: number;
  latencyUs: number;
  ringId: number;
  operation: number;
  forceUnitAccess: boolean;
  status: number;
  sector: number;
  sectorCount: number;
  segments: [first: number, last: number][];
  payloadKind: number;
  payload: number | string;
}

export function toRecord(plain: PlainRecord): TraceRecord {
  const record = new TraceRecord();
  record.timeUs = plain.timeUs;
  record.latencyUs = plain.latencyUs;
  record.ringId = plain.ringId;
  record.operation = plain.operation as RequestOperation;
  record.forceUnitAccess = plain.forceUnitAccess;
  record.status = plain.status;
  record.sector = plain.sector;
  record.sectorCount = plain.sectorCount;
  record.segmentCount = plain.segments.length;
  plain.segments.forEach(([first, last], s) => {
    record.segmentFirst[s] = first;
    record.segmentLast[s] = last;
  });
  record.payloadKind = plain.payloadKind;
  if (plain.payloadKind === PAYLOAD_HASH) record.payloadHash = plain.payload as number;
  if (plain.payloadKind === PAYLOAD_BYTES) {
    record.payload = Buffer.from(plain.payload as string, 'hex');
  }
  return record;
}

export function fromBatch(batch: TraceBatch): PlainRecord[] {
  const plain: PlainRecord[] = [];
  const first = new Uint8Array(SEGMENTS_MAX);
  const last = new Uint8Array(SEGMENTS_MAX);
  for (let i = batch.start; i < batch.count; i++) {
    const segments: [number, number][] = [];
    const count = batch.readSegments(i, first, last);
    for (let s = 0; s < count; s++) segments.push([first[s], last[s]]);
    const at = batch.payloadOffset[i];
    const payloadKind = batch.payloadKind[i];
    plain.push({
      timeUs: batch.timeUs[i],
      latencyUs: batch.latencyUs[i],
      ringId: batch.ringId[i],
      operation: batch.operation[i],
      forceUnitAccess: batch.forceUnitAccess[i] === 1,
      status: batch.status[i],
      sector: batch.sector[i],
      sectorCount: batch.sectorCount[i],
      segments,
      payloadKind,
      payload:
        payloadKind === PAYLOAD_HASH
          ? batch.payloadHash[i]
          : payloadKind === PAYLOAD_BYTES
            ? Buffer.from(batch.bytes.subarray(at, at + batch.sectorCount[i] * 512)).toString('hex')
            : 0,
    });
  }
  return plain;
}

export async function readWhole(source: TraceSource, skip = 0): Promise<PlainRecord[]> {
  const records: PlainRecord[] = [];
  for await (const batch of source.batches(skip)) records.push(...fromBatch(batch));
  return records;
}

const segmentArbitrary = fc
  .tuple(fc.nat(7), fc.nat(7))
  .map(([a, b]): [number, number] => [Math.min(a, b), Math.max(a, b)]);

/** Any record that the format can hold; payload bytes only for requests of a few segments. */
export const recordArbitrary: fc.Arbitrary<PlainRecord> = fc
  .record({
    timeUs: fc.oneof(fc.nat(10_000_000), fc.maxSafeNat()),
    latencyUs: fc.oneof(fc.nat(100_000), fc.maxSafeNat()),
    ringId: fc.oneof(fc.constant(0), fc.nat(3), fc.nat()),
    operation: fc.constantFrom(0, 1, 2, 3, 5, 64),
    forceUnitAccess: fc.boolean(),
    status: fc.constantFrom(0, 0, 0, -1, -2, 32767, -32768),
    sector: fc.oneof(
      fc.nat(10_000),
      fc.maxSafeNat().map((n) => Math.max(0, n - 1e9)),
    ),
    segments: fc.oneof(
      fc.array(segmentArbitrary, { maxLength: 11 }),
      fc.nat(SEGMENTS_MAX).map((n) => Array.from({ length: n }, (): [number, number] => [0, 7])),
    ),
    bareCount: fc.nat(1e9),
    payloadKind: fc.constantFrom(PAYLOAD_NONE, PAYLOAD_HASH, PAYLOAD_BYTES),
    hash: fc.nat(0xffffffff),
    fill: fc.nat(255),
  })
  .map(({ bareCount, hash, fill, ...record }) => {
    const sectorCount =
      record.segments.length === 0
        ? bareCount
        : record.segments.reduce((sum, [first, last]) => sum + last - first + 1, 0);
    const kind =
      record.payloadKind === PAYLOAD_BYTES && (record.segments.length === 0 || sectorCount > 16)
        ? PAYLOAD_HASH
        : record.payloadKind;
    const payload =
      kind === PAYLOAD_HASH
        ? hash
        : kind === PAYLOAD_BYTES
          ? Buffer.alloc(sectorCount * 512, fill).toString('hex')
          : 0;
    return { ...record, sectorCount, payloadKind: kind, payload };
  });
