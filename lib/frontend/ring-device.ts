/** What a ring server needs of the thing that carries its ring. */
import type { BackRing } from '../ring';
import type { SegmentMapper } from './segment-mapper';

/** A mapped ring and its doorbell: a blktap device, a stand-in's session, one day a grant. */
export interface RingDevice {
  readonly ring: BackRing;
  readonly mapper: SegmentMapper;
  /**
   * Request ids are the slots 0 to idSlots - 1, each in flight once: the kernel's promise on a
   * blktap ring, where a wrong answer crashes it. 0: ids are the front end's own business.
   */
  readonly idSlots: number;
  /** Most segments of an indirect request; 0: not offered. */
  readonly indirectSegmentsMax: number;
  /** Whether the ring has operations for these. */
  readonly barrier: boolean;
  readonly flush: boolean;
  readonly discard: boolean;

  /**
   * Done before each look at the ring: some blktap kernels put requests on it only inside
   * poll(2). Throws if the device is gone.
   */
  poll(): void;
  /** Tells the other side that responses were pushed. Throws if the device is gone. */
  kick(): void;
}
