/** The data of a replayed request: put in before it goes out, checked when it comes back. */
import { REQUEST_BARRIER, REQUEST_DISCARD, REQUEST_FLUSH, REQUEST_READ } from '../vbd/request';
import { SECTOR_BYTES } from '../sector';
import type { DiskModel, MismatchListener } from './disk-model';
import type { ReplayRequest } from './replay-target';
import { fillSectors, SECTOR_WORDS } from './sector-payload';
import { PAGE_SECTORS } from './trace-record';

const PAGE_WORDS = PAGE_SECTORS * SECTOR_WORDS;

/** What no write ever puts there: a read that leaves a sector alone is found out. */
const POISON = 0x5ead5ead;

/**
 * Tells the model of the request, and makes the slot's memory ready.
 * @param payload recorded data to write, or null for data made of sector and sequence.
 */
export function prepareData(
  request: ReplayRequest,
  payload: Uint8Array | null,
  words: Int32Array,
  model: DiskModel,
): void {
  const { slot, operation, sector, sectorCount } = request;
  if (operation === REQUEST_READ) {
    poison(request, words);
  } else if (operation === REQUEST_DISCARD) {
    model.discardStarted(slot, sector, sectorCount);
  } else if (sectorCount === 0) {
    model.flushStarted(slot);
  } else {
    if (payload === null) fillMade(request, words, model);
    else fillRecorded(request, payload, words, model);
    if (operation === REQUEST_BARRIER) model.markBarrier(slot);
    else if (operation === REQUEST_FLUSH) model.markFlush(slot);
  }
}

/** Compares what a successful read brought; returns the number of sectors that differ. */
export function checkAnswer(
  request: ReplayRequest,
  words: Int32Array,
  model: DiskModel,
  listener: MismatchListener,
): number {
  let sector = request.sector;
  let mismatches = 0;
  for (let s = 0; s < request.segmentCount; s++) {
    const count = segmentSectors(request, s);
    mismatches += model.check(sector, count, words, segmentWord(request, s), listener);
    sector += count;
  }
  return mismatches;
}

function fillMade(request: ReplayRequest, words: Int32Array, model: DiskModel): void {
  const sequence = model.writeStarted(request.slot, request.sector, request.sectorCount);
  let sector = request.sector;
  for (let s = 0; s < request.segmentCount; s++) {
    const count = segmentSectors(request, s);
    fillSectors(words, segmentWord(request, s), sector, count, sequence, model.options.seed);
    sector += count;
  }
}

function fillRecorded(
  request: ReplayRequest,
  payload: Uint8Array,
  words: Int32Array,
  model: DiskModel,
): void {
  const bytes = new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
  let at = 0;
  for (let s = 0; s < request.segmentCount; s++) {
    const lengthBytes = segmentSectors(request, s) * SECTOR_BYTES;
    bytes.set(payload.subarray(at, at + lengthBytes), segmentWord(request, s) * 4);
    at += lengthBytes;
  }
  model.recordedWriteStarted(request.slot, request.sector, request.sectorCount, (n) =>
    payload.subarray(n * SECTOR_BYTES, (n + 1) * SECTOR_BYTES),
  );
}

/** Three words of each sector are enough: no content has them by chance. */
function poison(request: ReplayRequest, words: Int32Array): void {
  for (let s = 0; s < request.segmentCount; s++) {
    const end = segmentWord(request, s) + segmentSectors(request, s) * SECTOR_WORDS;
    for (let at = segmentWord(request, s); at < end; at += SECTOR_WORDS) {
      words[at] = POISON;
      words[at + SECTOR_WORDS / 2] = POISON;
      words[at + SECTOR_WORDS - 1] = POISON;
    }
  }
}

function segmentWord(request: ReplayRequest, segment: number): number {
  return segment * PAGE_WORDS + request.segmentFirst[segment] * SECTOR_WORDS;
}

function segmentSectors(request: ReplayRequest, segment: number): number {
  return request.segmentLast[segment] - request.segmentFirst[segment] + 1;
}
