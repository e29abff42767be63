/** The disk model of a replay: a fresh one, or the one that an earlier replay left. */
import { TapdiskError } from '../../errors';
import { DiskModel, type DiskModelOptions } from '../../trace/disk-model';
import { loadModel, saveModel } from '../../trace/model-file';
import { loadPayloadHash } from '../../trace/payload-hash';
import type { ReplayResult } from '../../trace/replay-result';

export interface ReplayModel {
  readonly model: DiskModel;
  /** Requests of the trace that earlier replays have done; 0 with a fresh model. */
  readonly position: number;
}

/**
 * Loads the model of `path` where there is one; it must be of this disk, and for `resume` of this
 * trace. Its own seed, and whether the disk was fresh, stay as they were.
 * @throws TapdiskError REPLAY_MODEL_MISMATCH, MODEL_*
 */
export async function openModel(
  path: string | undefined,
  options: Omit<DiskModelOptions, 'hash'>,
  trace: { requests: number; resume: boolean },
): Promise<ReplayModel> {
  const hash = await loadPayloadHash();
  const loaded = path === undefined ? null : await loadModel(path, hash);
  if (path === undefined || loaded === null) {
    return { model: new DiskModel({ ...options, hash }), position: 0 };
  }
  const { model, notes } = loaded;
  if (model.options.sectors !== options.sectors) {
    throw mismatch(
      path,
      `is of a disk of ${model.options.sectors} sectors, and this one has ${options.sectors}`,
    );
  }
  if (trace.resume && notes.requests !== trace.requests) {
    throw mismatch(
      path,
      `is of a trace of ${String(notes.requests)} requests, and this one has ${trace.requests}`,
    );
  }
  return { model, position: typeof notes.position === 'number' ? notes.position : 0 };
}

/** Keeps what a later replay needs to go on. */
export function keepModel(
  path: string,
  model: DiskModel,
  trace: { requests: number },
  result: ReplayResult,
): Promise<void> {
  return saveModel(path, model, { requests: trace.requests, position: result.position });
}

function mismatch(path: string, why: string): TapdiskError {
  return new TapdiskError(
    'REPLAY_MODEL_MISMATCH',
    `the disk model ${path} ${why}: name another file with --model`,
  );
}
