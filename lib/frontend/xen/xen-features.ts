/** What is offered to every front end, as its nodes in xenstore are called. */
import { INDIRECT_SEGMENTS_MAX } from '../../ring/limits';
import { XEN_QUEUES_MAX, XEN_RING_ORDER_MAX } from '../limits';
import type { OfferedFeatures } from './features';
import type { GrantUse } from './grant-use';

export type XenFeatures = Omit<OfferedFeatures, 'discardEnabled'>;

export function xenFeatures(grants: GrantUse): XenFeatures {
  return {
    ringPageOrderMax: XEN_RING_ORDER_MAX,
    queuesMax: XEN_QUEUES_MAX,
    indirectSegmentsMax: INDIRECT_SEGMENTS_MAX,
    persistent: grants === 'persistent',
  };
}
