/** Payloads on their way into a trace: gathered out of a request's memory runs, without garbage. */
import { assert } from '../assert';
import { SECTOR_BYTES } from '../sector';
import type { VbdRequest } from '../vbd/request';
import { RECORD_PAYLOAD_BYTES_MAX, RECORDER_SLOTS_MAX, RECORDER_STAGING_BYTES_MAX } from './limits';

/** Room for the largest plain ring request: 11 pages. */
const STAGING_BYTES_MIN = 11 * 4096;

export class PayloadStaging {
  /** Grows with the largest request seen. */
  private scratch = Buffer.alloc(STAGING_BYTES_MIN);
  /** views[n]: the first n sectors of `scratch`. */
  private views: (Buffer | undefined)[] = [];
  /** A write's payload between its start and its end, by slot; reused by the slot's next one. */
  private readonly staged: (Buffer | undefined)[] = [];
  private readonly stagedBytes = new Uint32Array(RECORDER_SLOTS_MAX);
  private allocatedBytes = 0;

  /** The payload in one piece, valid until the next call. */
  gather(request: VbdRequest): Buffer {
    const lengthBytes = request.sectorCount * SECTOR_BYTES;
    assert(lengthBytes <= RECORD_PAYLOAD_BYTES_MAX, 'only recorded payloads are gathered');
    if (lengthBytes > this.scratch.length) {
      this.scratch = Buffer.alloc(RECORD_PAYLOAD_BYTES_MAX);
      this.views = [];
    }
    copyRuns(request, this.scratch);
    const view = this.views[request.sectorCount];
    if (view !== undefined) return view;
    const made = this.scratch.subarray(0, lengthBytes);
    this.views[request.sectorCount] = made;
    return made;
  }

  /** Keeps a payload until `drop`; false where there is no room for it. */
  keep(request: VbdRequest): boolean {
    const lengthBytes = request.sectorCount * SECTOR_BYTES;
    let staged = this.staged[request.slot];
    if (staged === undefined || staged.length < lengthBytes) {
      const size = Math.max(lengthBytes, STAGING_BYTES_MIN);
      const more = size - (staged?.length ?? 0);
      if (this.allocatedBytes + more > RECORDER_STAGING_BYTES_MAX) return false;
      this.allocatedBytes += more;
      staged = Buffer.allocUnsafe(size);
      this.staged[request.slot] = staged;
    }
    copyRuns(request, staged);
    this.stagedBytes[request.slot] = lengthBytes;
    return true;
  }

  /** What `keep` kept for a slot, or null. */
  kept(slot: number): Buffer | null {
    const lengthBytes = this.stagedBytes[slot];
    return lengthBytes === 0 ? null : (this.staged[slot]?.subarray(0, lengthBytes) ?? null);
  }

  drop(slot: number): void {
    this.stagedBytes[slot] = 0;
  }
}

function copyRuns(request: VbdRequest, target: Buffer): void {
  let at = 0;
  for (let run = 0; run < request.runCount; run++) {
    const from = request.runOffsets[run];
    at += request.memory.bytes.copy(target, at, from, from + request.runLengths[run]);
  }
  assert(at === request.sectorCount * SECTOR_BYTES, "a request's runs hold its sectors");
}
