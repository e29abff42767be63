/** What the keys hold: JSON with a version each, checked as it is read (docs/formats.md). */
import { z } from 'zod/v3';
import type { KeyValue } from '../../etcd/etcd';
import { integer } from '../../integer';
import { LAYER_MAX } from '../limits';
import { checkStoredRecord, storedRecordFields, storedRecordOf } from '../stored-record';
import type { StoredRecord } from '../stored-record';
import { corruptJson, parseJson, type JsonFormat } from '../versioned-json';
import { VOLUMES_PREFIX } from './keys';

/** Of every value that is JSON. */
export const VALUE_VERSION = 1;
const version = z.literal(VALUE_VERSION);

const processFields = {
  host: z.string(),
  bootId: z.string(),
  pidNamespace: z.string(),
  pid: integer,
  startTime: z.string(),
};

const holderSchema = z.strictObject({
  version,
  /** Random: tells one's own success, and one attachment from the next. */
  token: z.string(),
  volume: z.string(),
  ...processFields,
  readOnly: z.boolean(),
  /** Of the attachment; 0 of a standby. */
  epoch: integer.min(0),
  attachedAt: z.string().datetime(),
  /** Whether the owner before had not released the volume. */
  uncleanBefore: z.boolean(),
  /** From which follows how long the holder may go on without hearing from etcd. */
  leaseTtlMs: z.number().finite().positive(),
});

/** A process at a volume: the value of a lock, a reader, a standby and a host's presence. */
export type Holder = Readonly<Omit<z.infer<typeof holderSchema>, 'version'>>;

const stateSchema = z.strictObject({
  version,
  /** Rises with every attach for writing, and with every hand-over. */
  epoch: integer.min(0),
  /** From an attach for writing to a release. */
  inUse: z.boolean(),
  /** What the owner still had to wait before its first write when it attached; 0 once it has. */
  unsettledMs: z.number().finite().min(0),
  /** The last that attached for writing; null where nobody ever did. */
  owner: z.strictObject({ token: z.string(), ...processFields }).nullable(),
});

export type EtcdVolumeState = Readonly<Omit<z.infer<typeof stateSchema>, 'version'>>;
export type LastOwner = NonNullable<EtcdVolumeState['owner']>;

const recordSchema = z.strictObject({ version, ...storedRecordFields });

const counterSchema = z.strictObject({ version, last: integer.min(0).max(LAYER_MAX) });

const deletionSchema = z.strictObject({ version, ...storedRecordFields });

const encode = (value: object): Buffer =>
  Buffer.from(JSON.stringify({ version: VALUE_VERSION, ...value }));

export const encodeHolder = (holder: Holder): Buffer => encode(holder);
export const encodeState = (state: EtcdVolumeState): Buffer => encode(state);
export const encodeRecord = (record: StoredRecord): Buffer => encode(storedRecordOf(record));
export const encodeLayerCounter = (last: number): Buffer => encode({ last });
/** Of a volume that was deleted while the store may have its chunks: its record as it was. */
export const encodeDeletion = (record: StoredRecord): Buffer => encode(storedRecordOf(record));

/** @throws TapdiskError ATTACH_HOLDER_CORRUPT, ATTACH_HOLDER_VERSION_UNKNOWN */
export function decodeHolder(keyValue: KeyValue): Holder {
  return decode(keyValue, holderSchema, { ...formatOf(keyValue), codePrefix: 'ATTACH_HOLDER' });
}

/** @throws TapdiskError VOLUME_STATE_CORRUPT, VOLUME_STATE_VERSION_UNKNOWN */
export function decodeState(keyValue: KeyValue): EtcdVolumeState {
  return decode(keyValue, stateSchema, { ...formatOf(keyValue), codePrefix: 'VOLUME_STATE' });
}

/** @throws TapdiskError VOLUME_RECORD_CORRUPT, VOLUME_RECORD_VERSION_UNKNOWN */
export function decodeRecord(keyValue: KeyValue): StoredRecord {
  const format: JsonFormat = { ...formatOf(keyValue), codePrefix: 'VOLUME_RECORD' };
  const record = storedRecordOf(decode(keyValue, recordSchema, format));
  checkStoredRecord(record, format, keyValue.key.slice(VOLUMES_PREFIX.length));
  return record;
}

/** @throws TapdiskError LAYER_COUNTER_CORRUPT, LAYER_COUNTER_VERSION_UNKNOWN */
export function decodeLayerCounter(keyValue: KeyValue | undefined, key: string): number {
  const format: JsonFormat = { ...formatOf({ key }), codePrefix: 'LAYER_COUNTER' };
  // Never started anew: an id given out twice would mix two volumes' data.
  if (keyValue === undefined) throw corruptJson(format, 'it is gone');
  return decode(keyValue, counterSchema, format).last;
}

/** @throws TapdiskError DELETION_CORRUPT, DELETION_VERSION_UNKNOWN */
export function decodeDeletion(keyValue: KeyValue): StoredRecord {
  const format: JsonFormat = { ...formatOf(keyValue), codePrefix: 'DELETION' };
  return storedRecordOf(decode(keyValue, deletionSchema, format));
}

/** The refusal where a volume has a record and no state. */
export function stateIsGone(key: string): Error {
  return corruptJson({ ...formatOf({ key }), codePrefix: 'VOLUME_STATE' }, 'it is gone');
}

function formatOf({ key }: { readonly key: string }): Omit<JsonFormat, 'codePrefix'> {
  return { path: `etcd key ${key}`, version: VALUE_VERSION };
}

function decode<Schema extends z.ZodType<{ version: number }>>(
  keyValue: KeyValue,
  schema: Schema,
  format: JsonFormat,
): Omit<z.infer<Schema>, 'version'> {
  const value: { version?: number } = {
    ...parseJson(keyValue.value.toString('utf8'), schema, format),
  };
  delete value.version;
  return value as Omit<z.infer<Schema>, 'version'>;
}
