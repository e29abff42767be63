/** A directory with a configuration and pools of its own, for one test. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface PoolRoom {
  readonly directory: string;
  /** Where a pool may be made. */
  readonly poolPath: string;
  readonly env: Readonly<Record<string, string>>;
  dispose(): void;
}

export function makePoolRoom(): PoolRoom {
  const directory = mkdtempSync(join(tmpdir(), 'tapdisk-ts-room-'));
  return {
    directory,
    poolPath: join(directory, 'pool'),
    env: {
      TAPDISK_TS_CONFIG_DIR: join(directory, 'config'),
      TAPDISK_TS_RUNTIME_DIR: join(directory, 'run'),
    },
    dispose: () => rmSync(directory, { recursive: true, force: true }),
  };
}

export const refusal = (code: string, words = ''): unknown =>
  expect.objectContaining({ code, message: expect.stringContaining(words) as string });
