/** Names of chunks in etcd: chunks/<layer>/<chunk>, each 8 hexadecimal digits. */
import { assert } from '../../assert';
import { prefixEnd } from '../../etcd/etcd';

const DIGITS = 8;

function hex(number: number): string {
  assert(number >= 0 && number < 2 ** 32, 'a layer or chunk of an etcd store has 32 bits');
  return number.toString(16).padStart(DIGITS, '0');
}

export function chunkKey(layer: number, chunk: number): string {
  return `chunks/${hex(layer)}/${hex(chunk)}`;
}

/** All chunks of a layer, in the order of their indices. */
export function layerRange(layer: number): { key: string; rangeEnd: string } {
  const key = `chunks/${hex(layer)}/`;
  return { key, rangeEnd: prefixEnd(key) };
}
