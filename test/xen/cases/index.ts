/** Every case of `make test-xen`, in the order in which they run. */
import type { Case } from '../lab/case';
import { xenBlkback } from './xen-blkback';

export const CASES: Readonly<Record<string, Case>> = {
  'xen-blkback': xenBlkback,
};
