/** Payloads that tell where they belong. */

/** Bytes that differ from sector to sector and from seed to seed. */
export function pattern(length: number, seed = 1): Buffer {
  const bytes = Buffer.alloc(length, `seed ${seed}, `);
  for (let at = 0; at < length; at += 512) bytes.writeUInt32LE(at + seed, at);
  return bytes;
}
