/** Operations of a trace, as people read them. */
import {
  REQUEST_BARRIER,
  REQUEST_DISCARD,
  REQUEST_FLUSH,
  REQUEST_READ,
  REQUEST_WRITE,
  REQUEST_WRITE_ZEROES,
} from '../../vbd/request';

const NAMES = new Map<number, string>([
  [REQUEST_READ, 'read'],
  [REQUEST_WRITE, 'write'],
  [REQUEST_BARRIER, 'barrier'],
  [REQUEST_FLUSH, 'flush'],
  [REQUEST_DISCARD, 'discard'],
  [REQUEST_WRITE_ZEROES, 'write-zeroes'],
]);

export function operationName(operation: number): string {
  return NAMES.get(operation) ?? `operation ${operation}`;
}
