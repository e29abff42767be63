/** The messages of xenstore's wire protocol: xen/include/public/io/xs_wire.h, docs/misc/xenstore.txt. */
import { PAYLOAD_BYTES_MAX } from './limits';

/** struct xsd_sockmsg: type, req_id, tx_id, len, 32 bits each, little-endian. */
export const HEADER_BYTES = 16;

/** enum xsd_sockmsg_type, what of it this project speaks. */
export const XS = {
  DIRECTORY: 1,
  READ: 2,
  GET_PERMS: 3,
  WATCH: 4,
  UNWATCH: 5,
  TRANSACTION_START: 6,
  TRANSACTION_END: 7,
  WRITE: 11,
  MKDIR: 12,
  RM: 13,
  SET_PERMS: 14,
  WATCH_EVENT: 15,
  ERROR: 16,
  IS_DOMAIN_INTRODUCED: 17,
  DIRECTORY_PART: 22,
} as const;

export interface XsMessage {
  readonly type: number;
  /** Chosen by the client; 0 in a watch event. */
  readonly requestId: number;
  /** 0 outside transactions. */
  readonly transactionId: number;
  readonly payload: Buffer;
}

export function encodeXsMessage({ type, requestId, transactionId, payload }: XsMessage): Buffer {
  const bytes = Buffer.allocUnsafe(HEADER_BYTES + payload.length);
  bytes.writeUInt32LE(type, 0);
  bytes.writeUInt32LE(requestId, 4);
  bytes.writeUInt32LE(transactionId, 8);
  bytes.writeUInt32LE(payload.length, 12);
  payload.copy(bytes, HEADER_BYTES);
  return bytes;
}

/** Strings that each end with a NUL. */
export function encodeStrings(...strings: readonly string[]): Buffer {
  return Buffer.from(strings.map((text) => `${text}\0`).join(''));
}

/** The strings of a payload; a last one may lack its NUL. */
export function decodeStrings(payload: Buffer): string[] {
  if (payload.length === 0) return [];
  const end = payload.at(-1) === 0 ? payload.length - 1 : payload.length;
  return payload.toString('utf8', 0, end).split('\0');
}

/** Cuts a stream of bytes into messages. */
export class XsMessageReader {
  private unread: Buffer = Buffer.alloc(0);

  /** Messages that are whole now; null where the stream is no xenstore's: then it is to be closed. */
  push(chunk: Buffer): XsMessage[] | null {
    this.unread = this.unread.length === 0 ? chunk : Buffer.concat([this.unread, chunk]);
    const messages: XsMessage[] = [];
    let at = 0;
    while (this.unread.length - at >= HEADER_BYTES) {
      const lengthBytes = this.unread.readUInt32LE(at + 12);
      if (lengthBytes > PAYLOAD_BYTES_MAX) return null;
      const end = at + HEADER_BYTES + lengthBytes;
      if (this.unread.length < end) break;
      messages.push({
        type: this.unread.readUInt32LE(at),
        requestId: this.unread.readUInt32LE(at + 4),
        transactionId: this.unread.readUInt32LE(at + 8),
        payload: this.unread.subarray(at + HEADER_BYTES, end),
      });
      at = end;
    }
    this.unread = this.unread.subarray(at);
    return messages;
  }
}
