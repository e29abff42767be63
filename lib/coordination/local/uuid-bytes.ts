/** A uuid as the 16 bytes that binary formats carry. */

export const UUID_BYTES = 16;

export function uuidToBytes(uuid: string): Buffer {
  return Buffer.from(uuid.replaceAll('-', ''), 'hex');
}
