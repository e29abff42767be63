/**
 * A chunk as it lies in etcd: a header, then the chunk's bytes up to the last one ever written.
 *
 * Header, little-endian: u8 version (1), 3 zeros, u32 bytes that follow the header, u64 XXH64 of all
 * that follows (seed: layer × 2^32 + chunk, so that a chunk in another's place is found), u32 id of
 * the process that wrote it, u32 number of its write. docs/formats.md has it as well.
 */

export const VALUE_VERSION = 1;
export const HEADER_BYTES = 24;

const LENGTH_AT = 4;
const HASH_AT = 8;
const WRITER_AT = 16;
const WRITE_AT = 20;

/** XXH64 with a 64-bit seed. */
export type Hash64 = (bytes: Uint8Array, seed: bigint) => bigint;

export async function loadHash64(): Promise<Hash64> {
  const { default: xxhash } = await import('xxhash-wasm');
  const { h64Raw } = await xxhash();
  return h64Raw;
}

function seedOf(layer: number, chunk: number): bigint {
  return (BigInt(layer) << 32n) | BigInt(chunk);
}

/** Which chunk a value is of, and which write made it. */
export interface ValueIdentity {
  readonly layer: number;
  readonly chunk: number;
  /** Random, one a process. */
  readonly writer: number;
  /** Rises with each write of the process. */
  readonly write: number;
}

/** Fills in the header of a value whose data is there already. */
export function sealValue(value: Buffer, identity: ValueIdentity, hash: Hash64): void {
  value.fill(0, 0, HEADER_BYTES);
  value[0] = VALUE_VERSION;
  value.writeUInt32LE(value.length - HEADER_BYTES, LENGTH_AT);
  value.writeUInt32LE(identity.writer, WRITER_AT);
  value.writeUInt32LE(identity.write, WRITE_AT);
  const { layer, chunk } = identity;
  value.writeBigUInt64LE(hash(value.subarray(WRITER_AT), seedOf(layer, chunk)), HASH_AT);
}

/** Why a value cannot be this chunk's, in a few words, or null where it is whole. */
export function faultOf(
  value: Buffer,
  place: { layer: number; chunk: number; chunkBytes: number },
  hash: Hash64,
): string | null {
  if (value.length < HEADER_BYTES) return `it has ${value.length} bytes`;
  if (value[0] !== VALUE_VERSION) return `its version is ${value[0]}, not ${VALUE_VERSION}`;
  const length = value.readUInt32LE(LENGTH_AT);
  if (length !== value.length - HEADER_BYTES || length > place.chunkBytes) {
    return `it has ${value.length - HEADER_BYTES} bytes of data and says ${length}`;
  }
  const expected = hash(value.subarray(WRITER_AT), seedOf(place.layer, place.chunk));
  return value.readBigUInt64LE(HASH_AT) === expected ? null : 'its checksum does not match';
}

/** Whether two values came from one and the same write. */
export function isSameWrite(value: Buffer, other: Buffer): boolean {
  if (value.length < HEADER_BYTES) return false;
  return value.compare(other, WRITER_AT, HEADER_BYTES, WRITER_AT, HEADER_BYTES) === 0;
}
