/** Gives out layer ids: durable before they are used, never the same twice. */
import { z } from 'zod/v3';
import { errnoOf, TapdiskError } from '../../errors';
import { integer } from '../../integer';
import { LAYER_MAX } from '../limits';
import { writeFileDurably } from './durable-file';
import type { FileSystem } from './file-system';
import { FILE_MODE } from './layout';
import { corruptJson, parseJson, type JsonFormat } from '../versioned-json';

export const LAYER_COUNTER_VERSION = 1;
const LAYER_COUNTER_MAGIC = 'tapdisk-ts layer counter';

const counterSchema = z.strictObject({
  magic: z.literal(LAYER_COUNTER_MAGIC),
  version: z.literal(LAYER_COUNTER_VERSION),
  /** One beyond LAYER_MAX when all are given out. */
  next: integer.min(1).max(LAYER_MAX + 1),
});

/** Starts the counter of a new pool. */
export async function createLayerCounter(path: string, fileSystem: FileSystem): Promise<void> {
  await writeNext(path, 1, fileSystem);
}

/**
 * Takes the next id. The caller holds the pool's lock.
 * @throws TapdiskError LAYERS_EXHAUSTED, LAYER_COUNTER_CORRUPT, LAYER_COUNTER_VERSION_UNKNOWN
 */
export async function takeLayer(path: string, fileSystem: FileSystem): Promise<number> {
  const layer = await readNext(path, fileSystem);
  if (layer > LAYER_MAX) {
    throw new TapdiskError(
      'LAYERS_EXHAUSTED',
      `the pool has given out all ${LAYER_MAX} layer ids (${path}); make volumes in a new pool`,
    );
  }
  await writeNext(path, layer + 1, fileSystem);
  return layer;
}

async function readNext(path: string, fileSystem: FileSystem): Promise<number> {
  const format: JsonFormat = {
    path,
    version: LAYER_COUNTER_VERSION,
    magic: LAYER_COUNTER_MAGIC,
    codePrefix: 'LAYER_COUNTER',
  };
  try {
    return parseJson(await fileSystem.readText(path), counterSchema, format).next;
  } catch (error) {
    // Never started anew: an id given out twice would mix two volumes' data.
    if (errnoOf(error) === 'ENOENT') throw corruptJson(format, 'it is gone', error);
    throw error;
  }
}

async function writeNext(path: string, next: number, fileSystem: FileSystem): Promise<void> {
  const counter = { magic: LAYER_COUNTER_MAGIC, version: LAYER_COUNTER_VERSION, next };
  await writeFileDurably(path, `${JSON.stringify(counter)}\n`, { mode: FILE_MODE, fileSystem });
}
