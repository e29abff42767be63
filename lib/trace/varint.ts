/** Numbers of variable length, unsigned and signed, up to 2^53 - 1 (docs/formats-trace.md). */

/** Longest encoding of a number up to 2^53 - 1, with or without a sign. */
export const VARINT_BYTES_MAX = 8;

const NOT_SAFE = Number.MAX_SAFE_INTEGER + 1;

/** Appends an unsigned number, seven bits a byte, low bits first; returns the next position. */
export function writeVarint(bytes: Uint8Array, at: number, value: number): number {
  while (value >= 0x80) {
    bytes[at++] = (value % 0x80) | 0x80;
    value = Math.floor(value / 0x80);
  }
  bytes[at++] = value;
  return at;
}

/** Appends a signed number: bit 0 of the first byte is the sign, six bits follow, then sevens. */
export function writeSignedVarint(bytes: Uint8Array, at: number, value: number): number {
  const magnitude = Math.abs(value);
  const first = ((magnitude % 0x40) << 1) | (value < 0 ? 1 : 0);
  const rest = Math.floor(magnitude / 0x40);
  if (rest === 0) {
    bytes[at++] = first;
    return at;
  }
  bytes[at++] = first | 0x80;
  return writeVarint(bytes, at, rest);
}

/** Reads such numbers one after another; `failed` is set at the first that cannot be. */
export class VarintCursor {
  at = 0;
  failed = false;

  constructor(
    private readonly bytes: Uint8Array,
    private readonly end: number,
  ) {}

  byte(): number {
    if (this.at >= this.end) {
      this.failed = true;
      return 0;
    }
    return this.bytes[this.at++];
  }

  unsigned(): number {
    return this.tail(0, 1);
  }

  signed(): number {
    const first = this.byte();
    let magnitude = (first & 0x7f) >> 1;
    if (first & 0x80) magnitude = this.tail(magnitude, 0x40);
    return first & 1 ? -magnitude : magnitude;
  }

  private tail(value: number, scale: number): number {
    for (let i = 0; i < VARINT_BYTES_MAX; i++) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      scale *= 0x80;
      if (!(byte & 0x80)) {
        if (value >= NOT_SAFE) this.failed = true;
        return value;
      }
    }
    this.failed = true;
    return 0;
  }
}
