/** The messages of blktap1's two FIFOs, byte for byte (tools/blktap/lib/blktaplib.h). */
import { TapdiskError } from '../errors';
import { MESSAGE_BYTES_MAX, MINOR_MAX } from './limits';

/** What `unsigned long` is in the toolstack: decides the layout of IMG alone. */
export type DataModel = 'lp64' | 'ilp32';

export type Direction = 'toTapdisk' | 'toControl';

/** struct msg_hdr: type u16@0, len u16@2, drivertype u16@4, cookie u16@6, readonly u8@8, pad to 16. */
export const HEADER_BYTES = 16;

/** What follows the header, with its offsets in the whole message. */
export type PayloadKind =
  | 'none'
  /** NUL-terminated path@16. */
  | 'path'
  /** image_t: size u64@16, secsize unsigned long@24, info u32 after it, padded to 8 bytes. */
  | 'image'
  /** msg_newdev: devnum u8@16, pad, domid u16@18. */
  | 'device'
  /** msg_pid: pid i32@16. */
  | 'pid';

/** The one table of all messages. */
export const MESSAGES = [
  { type: 1, name: 'PARAMS', direction: 'toTapdisk', payload: 'path' },
  { type: 2, name: 'IMG', direction: 'toControl', payload: 'image' },
  { type: 3, name: 'IMG_FAIL', direction: 'toControl', payload: 'none' },
  { type: 4, name: 'NEWDEV', direction: 'toTapdisk', payload: 'device' },
  { type: 5, name: 'NEWDEV_RSP', direction: 'toControl', payload: 'none' },
  { type: 6, name: 'NEWDEV_FAIL', direction: 'toControl', payload: 'none' },
  { type: 7, name: 'CLOSE', direction: 'toTapdisk', payload: 'none' },
  { type: 8, name: 'CLOSE_RSP', direction: 'toControl', payload: 'none' },
  { type: 9, name: 'PID', direction: 'toTapdisk', payload: 'none' },
  { type: 10, name: 'PID_RSP', direction: 'toControl', payload: 'pid' },
] as const satisfies readonly {
  type: number;
  name: string;
  direction: Direction;
  payload: PayloadKind;
}[];

export type MessageDescription = (typeof MESSAGES)[number];
export type MessageName = MessageDescription['name'];

interface Addressed {
  /** The toolstack's number of the VBD, u16. blktapctrl leaves it unset in PID. */
  readonly cookie: number;
  /** Index in blktapctrl's disk type table, u16. */
  readonly driverType: number;
}

export interface ParamsMessage extends Addressed {
  readonly name: 'PARAMS';
  readonly path: string;
  readonly readOnly: boolean;
}
export interface ImageMessage extends Addressed {
  readonly name: 'IMG';
  /** 512-byte sectors. */
  readonly sectors: number;
  readonly sectorSize: number;
  /** VDISK_* bits. */
  readonly info: number;
}
export interface NewDeviceMessage extends Addressed {
  readonly name: 'NEWDEV';
  readonly minor: number;
  readonly domid: number;
}
export interface PidResponseMessage extends Addressed {
  readonly name: 'PID_RSP';
  readonly pid: number;
}
export interface BareMessage extends Addressed {
  readonly name: 'IMG_FAIL' | 'NEWDEV_RSP' | 'NEWDEV_FAIL' | 'CLOSE' | 'CLOSE_RSP' | 'PID';
}

export type ControlMessage =
  ParamsMessage | ImageMessage | NewDeviceMessage | PidResponseMessage | BareMessage;

const byType = new Map<number, MessageDescription>(MESSAGES.map((row) => [row.type, row]));
const byName = new Map<MessageName, MessageDescription>(MESSAGES.map((row) => [row.name, row]));
const imageBytes: Record<DataModel, number> = { lp64: 24, ilp32: 16 };

/** The table's row for a type number that travels in `direction`, or undefined. */
export function describeMessage(
  type: number,
  direction: Direction,
): MessageDescription | undefined {
  const row = byType.get(type);
  return row?.direction === direction ? row : undefined;
}

/** Whole lengths in bytes that a message of this kind may have; null means 17 to 4096. */
export function lengthsOf(payload: PayloadKind): readonly number[] | null {
  switch (payload) {
    case 'none':
      return [HEADER_BYTES];
    case 'device':
    case 'pid':
      return [HEADER_BYTES + 4];
    case 'image':
      return [HEADER_BYTES + imageBytes.lp64, HEADER_BYTES + imageBytes.ilp32];
    case 'path':
      return null;
  }
}

/**
 * Writes a message as blktaplib.h lays it out, little-endian, len filled in and pads zero.
 * @throws TapdiskError MESSAGE_FIELD_RANGE where a value does not fit its field.
 */
export function encodeMessage(message: ControlMessage, dataModel: DataModel = 'lp64'): Buffer {
  const row = byName.get(message.name) as MessageDescription;
  const payload = encodePayload(message, dataModel);
  const lengthBytes = HEADER_BYTES + payload.length;
  if (lengthBytes > MESSAGE_BYTES_MAX) {
    throw fieldRange(message.name, 'path', `${payload.length - 1} bytes`);
  }
  const bytes = Buffer.alloc(lengthBytes);
  bytes.writeUInt16LE(row.type, 0);
  bytes.writeUInt16LE(lengthBytes, 2);
  bytes.writeUInt16LE(checked(message, 'driverType', message.driverType, 0xffff), 4);
  bytes.writeUInt16LE(checked(message, 'cookie', message.cookie, 0xffff), 6);
  bytes.writeUInt8(message.name === 'PARAMS' && message.readOnly ? 1 : 0, 8);
  payload.copy(bytes, HEADER_BYTES);
  return bytes;
}

function encodePayload(message: ControlMessage, dataModel: DataModel): Buffer {
  switch (message.name) {
    case 'PARAMS': {
      if (message.path === '' || message.path.includes('\0')) {
        throw fieldRange('PARAMS', 'path', JSON.stringify(message.path));
      }
      return Buffer.from(`${message.path}\0`, 'utf8');
    }
    case 'IMG':
      return encodeImage(message, dataModel);
    case 'NEWDEV': {
      const payload = Buffer.alloc(4);
      payload.writeUInt8(checked(message, 'minor', message.minor, MINOR_MAX), 0);
      payload.writeUInt16LE(checked(message, 'domid', message.domid, 0xffff), 2);
      return payload;
    }
    case 'PID_RSP': {
      const payload = Buffer.alloc(4);
      payload.writeInt32LE(checked(message, 'pid', message.pid, 0x7fffffff), 0);
      return payload;
    }
    default:
      return Buffer.alloc(0);
  }
}

function encodeImage(message: ImageMessage, dataModel: DataModel): Buffer {
  const payload = Buffer.alloc(imageBytes[dataModel]);
  const sectors = checked(message, 'sectors', message.sectors, Number.MAX_SAFE_INTEGER);
  payload.writeBigUInt64LE(BigInt(sectors), 0);
  const sectorSize = checked(message, 'sectorSize', message.sectorSize, 0xffffffff);
  if (dataModel === 'lp64') {
    payload.writeBigUInt64LE(BigInt(sectorSize), 8);
    payload.writeUInt32LE(checked(message, 'info', message.info, 0xffffffff), 16);
  } else {
    payload.writeUInt32LE(sectorSize, 8);
    payload.writeUInt32LE(checked(message, 'info', message.info, 0xffffffff), 12);
  }
  return payload;
}

function checked(message: ControlMessage, field: string, value: number, max: number): number {
  if (!Number.isInteger(value) || value < 0 || value > max) {
    throw fieldRange(message.name, field, String(value));
  }
  return value;
}

function fieldRange(name: MessageName, field: string, value: string): TapdiskError {
  return new TapdiskError(
    'MESSAGE_FIELD_RANGE',
    `The ${field} (${value}) does not fit into the ${name} message of the tapdisk pipes.`,
  );
}

/**
 * Reads one whole message (`bytes` is exactly it). The len field is not looked at: framing has done
 * so. Pads and, outside PARAMS, `readonly` may hold anything.
 * @throws TapdiskError MESSAGE_MALFORMED for an unknown type, a wrong length or a bad path.
 */
export function decodeMessage(bytes: Buffer, direction: Direction): ControlMessage {
  if (bytes.length < HEADER_BYTES) {
    throw malformedMessage(`${bytes.length} bytes are no whole header`);
  }
  const type = bytes.readUInt16LE(0);
  const row = describeMessage(type, direction);
  if (row === undefined) throw malformedMessage(`type ${type} is not one of ours`);
  const lengths = lengthsOf(row.payload);
  const fits = lengths === null ? bytes.length > HEADER_BYTES : lengths.includes(bytes.length);
  if (!fits || bytes.length > MESSAGE_BYTES_MAX) {
    throw malformedMessage(`${row.name} cannot have ${bytes.length} bytes`);
  }
  const address = { driverType: bytes.readUInt16LE(4), cookie: bytes.readUInt16LE(6) };
  switch (row.name) {
    case 'PARAMS':
      return { name: row.name, ...address, readOnly: bytes[8] !== 0, path: decodePath(bytes) };
    case 'IMG':
      return { name: row.name, ...address, ...decodeImage(bytes) };
    case 'NEWDEV':
      return { name: row.name, ...address, minor: bytes[16], domid: bytes.readUInt16LE(18) };
    case 'PID_RSP':
      return { name: row.name, ...address, pid: bytes.readInt32LE(16) };
    default:
      return { name: row.name, ...address };
  }
}

function decodePath(bytes: Buffer): string {
  const end = bytes.indexOf(0, HEADER_BYTES);
  if (end < 0) throw malformedMessage('the path of PARAMS has no end');
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(HEADER_BYTES, end));
  } catch {
    throw malformedMessage('the path of PARAMS is not UTF-8');
  }
}

function decodeImage(bytes: Buffer): { sectors: number; sectorSize: number; info: number } {
  const lp64 = bytes.length === HEADER_BYTES + imageBytes.lp64;
  const sectors = Number(bytes.readBigUInt64LE(16));
  const sectorSize = lp64 ? Number(bytes.readBigUInt64LE(24)) : bytes.readUInt32LE(24);
  if (!Number.isSafeInteger(sectors) || !Number.isSafeInteger(sectorSize)) {
    throw malformedMessage('the size in IMG is beyond 2^53');
  }
  return { sectors, sectorSize, info: bytes.readUInt32LE(lp64 ? 32 : 28) };
}

/** The refusal of a message, for the reason given without its full stop. */
export function malformedMessage(what: string): TapdiskError {
  return new TapdiskError(
    'MESSAGE_MALFORMED',
    `A message on the tapdisk pipe is refused: ${what}.`,
  );
}
