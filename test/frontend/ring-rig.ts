/** A ring in memory with both its sides: a RingServer and a hand that fills it. */
import { newRingCounters } from '../../lib/frontend/ring-counters';
import type { RingDevice } from '../../lib/frontend/ring-device';
import { RingServer } from '../../lib/frontend/ring-server';
import { DataPageMapper } from '../../lib/frontend/segment-mapper';
import {
  BLKTAP_GEOMETRY,
  type ShmGeometry,
  shmAbi,
  shmDataPages,
  shmFileBytes,
  shmSlots,
} from '../../lib/frontend/shm/shm-geometry';
import {
  BackRing,
  BLKIF_OP_READ,
  FrontRing,
  initialiseSharedRing,
  PAGE_BYTES,
  RingRequest,
  RingResponse,
} from '../../lib/ring';
import type { TapdiskError } from '../../lib/errors';
import type { BlockDevice } from '../../lib/vbd/block-device';

export interface Answer {
  id: number;
  operation: number;
  status: number;
}

export class RingRig {
  readonly memory: Buffer;
  readonly front: FrontRing;
  readonly server: RingServer;
  readonly counters = newRingCounters();
  readonly stops: TapdiskError[] = [];
  kicks = 0;
  polls = 0;
  onPoll = (): void => undefined;
  onKick = (): void => undefined;

  constructor(
    blockDevice: BlockDevice,
    readonly geometry: ShmGeometry = BLKTAP_GEOMETRY,
    device: Partial<RingDevice> = {},
    memory = Buffer.from(new ArrayBuffer(shmFileBytes(geometry))),
    spinUs = 0,
  ) {
    this.memory = memory;
    const ringBytes = this.memory.subarray(0, geometry.ringPages * PAGE_BYTES);
    initialiseSharedRing(ringBytes);
    const abi = shmAbi(geometry);
    this.front = new FrontRing(ringBytes, abi, geometry.ringPages);
    this.server = new RingServer(
      {
        ring: new BackRing(ringBytes, abi, geometry.ringPages),
        mapper: new DataPageMapper({
          memory: { bytes: this.memory, address: 0 },
          offset: ringBytes.length,
          pages: shmDataPages(geometry),
          pagesPerSlot: geometry.dataPagesPerSlot,
          addressing: geometry.addressing,
        }),
        idSlots: geometry.addressing === 'slot' ? shmSlots(geometry) : 0,
        indirectSegmentsMax: geometry.indirectSegmentsMax,
        barrier: geometry.abi !== 'blktap2',
        flush: true,
        discard: true,
        poll: () => {
          this.polls++;
          this.onPoll();
        },
        kick: () => {
          this.kicks++;
          this.onKick();
        },
        ...device,
      },
      blockDevice,
      { counters: this.counters, spinUs, onStopped: (reason) => this.stops.push(reason) },
    );
  }

  /** Puts a request of whole pages: segments of `pages`, by number. */
  put(id: number, fields: Partial<RingRequest> = {}, pages: number[] = [id * 11]): void {
    const request = new RingRequest();
    Object.assign(request, { operation: BLKIF_OP_READ, idLow: id, ...fields });
    request.segmentCount = pages.length;
    request.nrSegments = fields.nrSegments ?? pages.length;
    pages.forEach((page, segment) => {
      request.gref[segment] = page;
      request.lastSect[segment] = 7;
    });
    this.putRaw(request);
  }

  putRaw(request: RingRequest): void {
    if (!this.front.put(request)) throw new Error('the ring is full');
  }

  /** Publishes and rings. */
  go(): void {
    this.front.push();
    this.server.wake();
  }

  answers(): Answer[] {
    const response = new RingResponse();
    const answers: Answer[] = [];
    while (this.front.next(response)) {
      const { idLow: id, wireOperation: operation, status } = response;
      answers.push({ id, operation, status });
    }
    return answers;
  }

  dataPage(page: number): Buffer {
    const from = (this.geometry.ringPages + page) * PAGE_BYTES;
    return this.memory.subarray(from, from + PAGE_BYTES);
  }
}
