/** Whether a condition of a transaction holds, judged by the keys that it is about. */
import type { Compare, KeyValue } from '../../etcd/etcd';

/** An absent key has createRevision and modRevision 0; of a range every key must fulfil it. */
export function compareHolds(compare: Compare, keyValues: readonly KeyValue[]): boolean {
  const fulfils = (keyValue: KeyValue | undefined): boolean => {
    if (compare.target === 'value') return keyValue?.value.equals(compare.equals) ?? false;
    return (keyValue?.[compare.target] ?? 0) === compare.equals;
  };
  if (compare.rangeEnd === undefined) return fulfils(keyValues[0]);
  return keyValues.every(fulfils);
}
