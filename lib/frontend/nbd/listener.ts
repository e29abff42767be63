/** One listening socket of an NBD server, unix or TCP. */
import { lstatSync, rmSync, type Stats } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { errnoOf, sentenceOf, TapdiskError } from '../../errors';
import type { ListenAddress } from './listen-address';

/** Nobody but this user may connect. */
const UMASK_PRIVATE = 0o177;

export class Listener {
  private constructor(
    private readonly server: Server,
    /** With the port that was really taken. */
    readonly address: ListenAddress,
  ) {}

  /**
   * `onAccepted` is handed each connection, paused. A unix socket is made for this user alone, and
   * replaces one that a dead process left; TCP hosts are numeric.
   *
   * @throws TapdiskError NBD_LISTEN_BUSY, NBD_LISTEN_FAILED
   */
  static async open(
    address: ListenAddress,
    onAccepted: (socket: Socket) => void,
  ): Promise<Listener> {
    if (address.kind === 'unix') await removeDeadSocket(address);
    const server = createServer({ pauseOnConnect: true, allowHalfOpen: true }, onAccepted);
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error) => reject(cannotListen(address, error)));
      server.once('listening', resolve);
      if (address.kind === 'tcp') {
        server.listen(address.port, address.host);
        return;
      }
      // The socket is bound within the call, so there is no moment in which others could connect.
      const umask = process.umask(UMASK_PRIVATE);
      try {
        server.listen(address.path);
      } finally {
        process.umask(umask);
      }
    });
    // What fails later concerns one connection that could not be accepted.
    server.removeAllListeners('error').on('error', () => undefined);
    const bound = server.address();
    if (address.kind === 'tcp' && bound !== null && typeof bound === 'object') {
      return new Listener(server, { ...address, port: bound.port });
    }
    return new Listener(server, address);
  }

  /** Accepts nothing more; a unix socket vanishes. */
  close(): void {
    this.server.close();
  }
}

/** @throws TapdiskError NBD_LISTEN_BUSY where it lives, or where another thing has its place */
async function removeDeadSocket(address: ListenAddress & { kind: 'unix' }): Promise<void> {
  const { path } = address;
  let stat: Stats | undefined;
  try {
    stat = lstatSync(path, { throwIfNoEntry: false });
  } catch (error) {
    throw cannotListen(address, error);
  }
  if (stat === undefined) return;
  if (!stat.isSocket()) {
    throw new TapdiskError(
      'NBD_LISTEN_BUSY',
      `${path} is there already and is no socket; listen elsewhere, or remove it.`,
    );
  }
  const isAlive = await new Promise<boolean>((resolve) => {
    const probe = connect(path);
    probe.once('connect', () => resolve(true));
    probe.once('error', (error) => resolve(errnoOf(error) !== 'ECONNREFUSED'));
    probe.once('close', () => resolve(false));
    probe.once('connect', () => probe.destroy());
  });
  if (isAlive) {
    throw new TapdiskError(
      'NBD_LISTEN_BUSY',
      `Somebody listens on ${path} already; listen elsewhere, or end that process.`,
    );
  }
  rmSync(path, { force: true });
}

function cannotListen(address: ListenAddress, error: unknown): TapdiskError {
  const where = address.kind === 'unix' ? address.path : `${address.host} port ${address.port}`;
  if (errnoOf(error) === 'EADDRINUSE') {
    return new TapdiskError(
      'NBD_LISTEN_BUSY',
      `Somebody listens on ${where} already; listen elsewhere, or end that process.`,
      { cause: error },
    );
  }
  return new TapdiskError(
    'NBD_LISTEN_FAILED',
    `It is not possible to listen on ${where} (${errnoOf(error) ?? sentenceOf(error)}).`,
    { cause: error },
  );
}
