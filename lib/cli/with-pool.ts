/** Opens a pool for one command and closes it again. */
import { errnoOf, sentenceOf } from '../errors';
import { finishDeletions } from '../pool/delete-volume';
import { openPool, type Pool } from '../pool/open-pool';
import type { CommandContext } from './command';

/** For commands that look. */
export async function withPool<Result>(
  name: string,
  { io }: CommandContext,
  use: (pool: Pool) => Promise<Result>,
): Promise<Result> {
  const pool = await openPool(name, { env: io.env });
  try {
    return await use(pool);
  } finally {
    await pool.close();
  }
}

/** For commands that change: first finishes the deletions that a crash cut short. */
export async function withChangingPool<Result>(
  name: string,
  context: CommandContext,
  use: (pool: Pool) => Promise<Result>,
): Promise<Result> {
  return withPool(name, context, async (pool) => {
    try {
      for (const volume of await finishDeletions(pool)) {
        context.output.note(`finished the deletion of ${name}/${volume}, which had been cut short`);
      }
    } catch (error) {
      // The command's own work does not depend on it, and says itself what it may not do.
      if (errnoOf(error) !== 'EROFS' && errnoOf(error) !== 'EACCES') {
        context.output.note(`an earlier deletion is not finished: ${sentenceOf(error)}`);
      }
    }
    return use(pool);
  });
}
