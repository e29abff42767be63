/** One load: what is asked, of whom is another matter. */
import { KIB, MIB } from './settings';

export interface Load {
  readonly operation: 'read' | 'write';
  readonly pattern: 'random' | 'sequential';
  readonly blockBytes: number;
  readonly depth: number;
}

/** What the transfers of a run end in: the device, or the page cache once it is warm. */
export type Path = 'direct' | 'hot';

/** Reads and writes of each size at each depth. */
export function loads(
  pattern: Load['pattern'],
  blockBytes: number,
  depths: readonly number[],
): Load[] {
  return depths.flatMap((depth) =>
    (['read', 'write'] as const).map((operation) => ({ operation, pattern, blockBytes, depth })),
  );
}

/** "4 KiB random read, depth 32, direct" */
export function nameOfLoad(load: Load, path: Path): string {
  const { blockBytes, pattern, operation, depth } = load;
  const size = blockBytes >= MIB ? `${blockBytes / MIB} MiB` : `${blockBytes / KIB} KiB`;
  return `${size} ${pattern} ${operation}, depth ${depth}, ${path}`;
}
