/**
 * A volume's epoch and whether it is in use, in two slots written in turn.
 *
 * Overwritten in place, not replaced: a volume can be attached and released on a full disk. A slot
 * that was cut while being written fails its checksum, and the other one, one change older, counts.
 */
import { crc32 } from 'node:zlib';
import { assert } from '../../assert';
import { TapdiskError } from '../../errors';
import type { FileSystem } from './file-system';
import { UUID_BYTES, uuidToBytes } from './uuid-bytes';

export const STATE_VERSION = 1;
const STATE_MAGIC = 'tdtsstat';

/** Each slot has a disk block of its own, so that a torn write cannot hurt the other. */
const SLOT_STRIDE_BYTES = 4096;
const SLOT_COUNT = 2;

/** A slot's fields, little-endian. */
const AT_MAGIC = 0;
const AT_VERSION = 8;
const AT_CRC = 12;
const AT_UUID = 16;
const AT_SEQUENCE = 32;
const AT_EPOCH = 40;
const AT_IN_USE = 48;
const SLOT_BYTES = 64;

export interface VolumeState {
  /** Rises with every change; tells which slot is the newer. */
  readonly sequence: number;
  readonly epoch: number;
  /** Attached read-write, and not released since. */
  readonly inUse: boolean;
}

/** The file of a new volume: never attached. */
export function encodeFirstState(uuid: string): Buffer {
  const file = Buffer.alloc(SLOT_STRIDE_BYTES * SLOT_COUNT);
  const state = { sequence: 0, epoch: 0, inUse: false };
  encodeSlot(uuid, state).copy(file, 0);
  return file;
}

/** @throws TapdiskError VOLUME_STATE_CORRUPT, VOLUME_STATE_VERSION_UNKNOWN */
export async function readState(
  path: string,
  uuid: string,
  fileSystem: FileSystem,
): Promise<VolumeState> {
  const fd = await fileSystem.open(path, 'r');
  try {
    const file = Buffer.alloc(SLOT_STRIDE_BYTES * SLOT_COUNT);
    await fileSystem.read(fd, file, 0);
    return decodeState(file, path, uuid);
  } finally {
    await fileSystem.close(fd);
  }
}

/** Writes the next state; it survives a power cut when this resolves. */
export async function writeState(
  path: string,
  uuid: string,
  state: VolumeState,
  fileSystem: FileSystem,
): Promise<void> {
  const fd = await fileSystem.open(path, 'r+');
  try {
    const position = (state.sequence % SLOT_COUNT) * SLOT_STRIDE_BYTES;
    await fileSystem.write(fd, encodeSlot(uuid, state), position);
    await fileSystem.fsync(fd);
  } finally {
    await fileSystem.close(fd);
  }
}

function encodeSlot(uuid: string, state: VolumeState): Buffer {
  assert(Number.isSafeInteger(state.sequence) && Number.isSafeInteger(state.epoch), 'counts fit');
  const slot = Buffer.alloc(SLOT_BYTES);
  slot.write(STATE_MAGIC, AT_MAGIC, 'latin1');
  slot.writeUInt32LE(STATE_VERSION, AT_VERSION);
  uuidToBytes(uuid).copy(slot, AT_UUID);
  slot.writeBigUInt64LE(BigInt(state.sequence), AT_SEQUENCE);
  slot.writeBigUInt64LE(BigInt(state.epoch), AT_EPOCH);
  slot.writeUInt8(state.inUse ? 1 : 0, AT_IN_USE);
  slot.writeUInt32LE(crc32(slot.subarray(AT_UUID)), AT_CRC);
  return slot;
}

function decodeState(file: Buffer, path: string, uuid: string): VolumeState {
  let newest: VolumeState | null = null;
  for (let index = 0; index < SLOT_COUNT; index++) {
    const at = index * SLOT_STRIDE_BYTES;
    const state = decodeSlot(file.subarray(at, at + SLOT_BYTES), path, uuid);
    if (state !== null && (newest === null || state.sequence > newest.sequence)) newest = state;
  }
  if (newest !== null) return newest;
  throw new TapdiskError(
    'VOLUME_STATE_CORRUPT',
    `${path} is damaged (neither of its two slots is valid); restore it from a backup`,
  );
}

/** Null where the slot was never written, was cut short, or is another volume's. */
function decodeSlot(slot: Buffer, path: string, uuid: string): VolumeState | null {
  if (slot.toString('latin1', AT_MAGIC, AT_VERSION) !== STATE_MAGIC) return null;
  const version = slot.readUInt32LE(AT_VERSION);
  if (version !== STATE_VERSION) {
    throw new TapdiskError(
      'VOLUME_STATE_VERSION_UNKNOWN',
      `${path} has format version ${version} and this program knows only ${STATE_VERSION}; ` +
        'use the program that wrote it, or a newer one',
    );
  }
  if (slot.readUInt32LE(AT_CRC) !== crc32(slot.subarray(AT_UUID))) return null;
  if (!slot.subarray(AT_UUID, AT_UUID + UUID_BYTES).equals(uuidToBytes(uuid))) return null;
  return {
    sequence: Number(slot.readBigUInt64LE(AT_SEQUENCE)),
    epoch: Number(slot.readBigUInt64LE(AT_EPOCH)),
    inUse: slot.readUInt8(AT_IN_USE) !== 0,
  };
}
