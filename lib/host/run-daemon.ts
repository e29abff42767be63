/** The daemon as a process: from its lock and its connection to xenstore until a signal, or a loss. */
import type { Log } from '../control/log';
import { ensureRuntimeDirectory } from '../control/runtime-dir';
import { sentenceOf } from '../errors';
import { openXenStore } from '../xenstore/open-xenstore';
import { Daemon } from './daemon';
import { takeDaemonLock } from './daemon-lock';
import { MARKERS_REFRESH_MS } from './limits';
import { refreshMarkers } from './volume-markers';

export interface RunDaemonOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly log: Log;
  /** Told when every disk that is there was found and every watch is set. */
  readonly onWatching: () => void;
}

/**
 * Serves until SIGTERM or SIGINT; then the disks go on without it.
 *
 * @throws TapdiskError DAEMON_BUSY, RUNTIME_DIR_*; XENSTORE_UNAVAILABLE, and XENSTORE_LOST once
 * xenstored is gone: whoever starts the daemon (systemd) shall start it again then
 */
export async function runDaemon({ env, log, onWatching }: RunDaemonOptions): Promise<void> {
  const runtimeDirectory = ensureRuntimeDirectory(env);
  takeDaemonLock(runtimeDirectory);
  let end: () => void = () => undefined;
  let lose: (reason: Error) => void = () => undefined;
  const ended = new Promise<void>((resolve, reject) => {
    end = resolve;
    lose = reject;
  });
  // Also of one that is lost before it is waited for.
  ended.catch(() => undefined);
  const store = await openXenStore({ env, onLost: (reason) => lose(reason) });
  await refreshMarkers(env, log);
  const daemon = await Daemon.start({ store, env, runtimeDirectory, log });
  const markers = setInterval(() => {
    refreshMarkers(env, log).catch((error: unknown) => log.warn({}, sentenceOf(error)));
  }, MARKERS_REFRESH_MS);
  process.once('SIGTERM', end);
  process.once('SIGINT', end);
  onWatching();
  try {
    await ended;
  } finally {
    process.off('SIGTERM', end);
    process.off('SIGINT', end);
    clearInterval(markers);
    await daemon.close();
    store.close();
  }
}
