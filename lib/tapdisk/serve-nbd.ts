/** A process that exports volumes over NBD, until a signal or its last detach ends it. */
import type { Log } from '../control/log';
import { SocketServer } from '../control/socket-server';
import { sentenceOf } from '../errors';
import type { ListenAddress } from '../frontend/nbd/listen-address';
import { REPORT_INTERVAL_MS, REPORTS_PER_INTERVAL_MAX } from '../frontend/nbd/limits';
import type { NbdServerOptions } from '../frontend/nbd/nbd-server';
import { FewReports } from './few-reports';
import { NbdDisks } from './nbd-disks';

export interface ServeNbd {
  /** "pool/volume" each. */
  readonly volumes: readonly string[];
  readonly readOnly: boolean;
  /** Stand by for what another has, and serve it once it is free or handed over. */
  readonly wait: boolean;
  readonly addresses: readonly ListenAddress[];
  readonly tls: NbdServerOptions['tls'];
  readonly insecure: boolean;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly log: Log;
  /** Clients can connect to these now. Called again and again where it stands by. */
  readonly onServing: (uris: readonly string[]) => void;
}

const EXIT_OK = 0;
/** A volume could not be given back in order. */
const EXIT_NOT_CLOSED = 1;

/**
 * Resolves to the exit code when SIGINT, SIGTERM or the last detach has ended it in order.
 *
 * @throws TapdiskError of NbdDisks.open and SocketServer.listen; where it stands by also why none of
 * the volumes came
 */
export async function serveNbd(options: ServeNbd): Promise<number> {
  const { log, env, tls, insecure } = options;
  const reports = new FewReports(log, REPORTS_PER_INTERVAL_MAX, REPORT_INTERVAL_MS);
  let end: (reason: string) => void = () => {};
  let fail: (reason: unknown) => void = () => {};
  const ended = new Promise<string>((resolve, reject) => {
    end = resolve;
    fail = reject;
  });
  // It is looked at only when all is begun.
  ended.catch(() => {});
  const disks = await NbdDisks.open({
    ...options,
    server: { tls, insecure, onConnectionFailed: (reason) => reports.report(reason) },
    onUnused: () => end('last volume detached'),
    onFailed: (reason) => fail(reason),
  });
  let exitCode = EXIT_OK;
  let socket: SocketServer | null = null;
  const interrupt = (signal: string): void => end(signal);
  process.on('SIGINT', interrupt);
  process.on('SIGTERM', interrupt);
  try {
    socket = await SocketServer.listen({ admin: disks, env, log });
    disks.begin();
    log.info({ reason: await ended }, 'ending');
  } finally {
    try {
      await disks.closeAll();
    } catch (error) {
      exitCode = EXIT_NOT_CLOSED;
      log.error({}, sentenceOf(error));
    }
    await socket?.close();
    process.off('SIGINT', interrupt);
    process.off('SIGTERM', interrupt);
  }
  return exitCode;
}
