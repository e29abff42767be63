/** The alignment that direct I/O needs in a directory, as the kernel's sysfs tells it. */
import { readFileSync, realpathSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** What nearly every file system accepts; taken where sysfs does not know the device. */
const ALIGNMENT_BYTES_DEFAULT = 4096;

/** Bytes (a power of two) to which offset, length and memory must be aligned for O_DIRECT. */
export function directAlignmentBytes(directory: string): number {
  const device = statSync(directory).dev;
  const major = (device >>> 8) & 0xfff;
  const minor = (device & 0xff) | ((device >>> 12) & 0xfff00);
  try {
    const node = realpathSync(`/sys/dev/block/${major}:${minor}`);
    return (
      logicalBlockBytes(node) ?? logicalBlockBytes(join(node, '..')) ?? ALIGNMENT_BYTES_DEFAULT
    );
  } catch {
    return ALIGNMENT_BYTES_DEFAULT;
  }
}

function logicalBlockBytes(deviceNode: string): number | null {
  try {
    const bytes = Number(readFileSync(join(deviceNode, 'queue/logical_block_size'), 'utf8'));
    return bytes >= 512 && Number.isInteger(Math.log2(bytes)) ? bytes : null;
  } catch {
    return null;
  }
}
