/** Tells the log by which way a disk's transfers go, and what it costs where it is the slow one. */
import type { Log } from '../control/log';

/** `path` is "pool/volume", `store` what ChunkStore.describe says; nothing where no engine is used. */
export function logEngine(
  log: Log,
  path: string,
  { engine, engineReason }: Readonly<Record<string, unknown>>,
): void {
  if (engine === undefined) return;
  if (engine === 'io_uring') {
    log.info({ volume: path, engine }, `transfers of ${path} go through io_uring`);
    return;
  }
  log.warn(
    { volume: path, engine, code: 'IO_ENGINE_SLOW' },
    `transfers of ${path} go through threads, at about 0.4 of io_uring's requests a second and ` +
      `seven times its processor time (${String(engineReason)}); see tapdisk-ts doctor`,
  );
}
