/** What is offered to every front end, as its nodes in xenstore are called. */
import { INDIRECT_SEGMENTS_MAX } from '../../ring/limits';
import { XEN_QUEUES_MAX, XEN_RING_ORDER_MAX } from '../limits';

export const XEN_FEATURES = {
  /** max-ring-page-order */
  ringPageOrderMax: XEN_RING_ORDER_MAX,
  /** multi-queue-max-queues */
  queuesMax: XEN_QUEUES_MAX,
  /** feature-max-indirect-segments */
  indirectSegmentsMax: INDIRECT_SEGMENTS_MAX,
  /** feature-persistent */
  persistent: false as boolean,
} as const;
