/** Takes the data of a client's option apart; null wherever its lengths do not add up. */
import { STRING_BYTES_MAX } from './limits';

/** Data of INFO and GO: a name, and the informations asked for. */
export interface InfoQuery {
  readonly exportName: string;
  readonly types: readonly number[];
}

/** Data of LIST_META_CONTEXT and SET_META_CONTEXT. */
export interface MetaContextQuery {
  readonly exportName: string;
  readonly queries: readonly string[];
}

const LENGTH_BYTES = 4;
const COUNT_BYTES = 2;
const TYPE_BYTES = 2;

/** 32 bits of length, a name; 16 bits of count, 16 bits for each type. */
export function parseInfoQuery(data: Buffer): InfoQuery | null {
  const name = parseString(data, 0);
  if (name === null || data.length < name.end + COUNT_BYTES) return null;
  const count = data.readUInt16BE(name.end);
  const typesAt = name.end + COUNT_BYTES;
  if (data.length !== typesAt + count * TYPE_BYTES) return null;
  const types = Array.from({ length: count }, (_, i) =>
    data.readUInt16BE(typesAt + i * TYPE_BYTES),
  );
  return { exportName: name.text, types };
}

/** 32 bits of length, a name; 32 bits of count, for each query 32 bits of length and a string. */
export function parseMetaContextQuery(data: Buffer): MetaContextQuery | null {
  const name = parseString(data, 0);
  if (name === null || data.length < name.end + LENGTH_BYTES) return null;
  const count = data.readUInt32BE(name.end);
  const queries: string[] = [];
  let at = name.end + LENGTH_BYTES;
  while (queries.length < count) {
    const query = parseString(data, at);
    if (query === null) return null;
    queries.push(query.text);
    at = query.end;
  }
  return at === data.length ? { exportName: name.text, queries } : null;
}

/** A string without a length before it: the whole of EXPORT_NAME's data. */
export function parseName(data: Buffer): string | null {
  if (data.length > STRING_BYTES_MAX || data.includes(0)) return null;
  return data.toString('utf8');
}

function parseString(data: Buffer, at: number): { text: string; end: number } | null {
  if (data.length < at + LENGTH_BYTES) return null;
  const length = data.readUInt32BE(at);
  const from = at + LENGTH_BYTES;
  if (length > STRING_BYTES_MAX || data.length < from + length) return null;
  const text = parseName(data.subarray(from, from + length));
  return text === null ? null : { text, end: from + length };
}
