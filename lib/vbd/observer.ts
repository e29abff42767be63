/** How a recorder or a statistics collector sees a VBD's requests. */
import type { VbdRequest } from './request';

/** Both are called on the hot path: no allocation, no I/O, no throw. */
export interface RequestObserver {
  /** Before the first byte moves; a write's payload is in its memory runs. */
  requestStarted(request: VbdRequest): void;
  /** Status is set; a successful read's payload is in its memory runs. */
  requestEnded(request: VbdRequest, latencyUs: number): void;
}
