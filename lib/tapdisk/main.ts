/** A tapdisk process, from its two FIFOs to its end. */
import { Failures } from '../control/failures';
import { dataModelOf, FifoServer, hostTimeoutOf } from '../control/fifo-server';
import { createLog } from '../control/create-log';
import type { Log } from '../control/log';
import { handleSignals } from '../control/signals';
import { SocketServer, type SocketServerOptions } from '../control/socket-server';
import { sentenceOf } from '../errors';
import { prepareFrontend } from './open-frontend';
import { TapdiskProcess } from './tapdisk-process';

const EXIT_OK = 0;
/** A disk could not be closed in order at the end. */
const EXIT_NOT_CLOSED = 1;

/** A toolstack's guest needs its disk more than an admin the socket: without one we serve too. */
async function listen(
  options: SocketServerOptions & { readonly log: Log },
): Promise<SocketServer | null> {
  try {
    return await SocketServer.listen(options);
  } catch (error) {
    options.log.error({}, `no control socket: ${sentenceOf(error)}`);
    return null;
  }
}

/**
 * Serves until the last disk is closed, or a signal asks for the end; resolves to the exit code.
 *
 * @throws TapdiskError CONTROL_FIFO_OPEN, CONTROL_NOT_FIFO
 */
export async function serveFifos(readFifo: string, writeFifo: string): Promise<number> {
  const log = createLog();
  const failures = new Failures();
  const tapdisk = new TapdiskProcess(log, () => fifos.endIfUnused('last disk detached'));
  let end: (reason: string) => void = () => {};
  const ended = new Promise<string>((resolve) => (end = resolve));
  const socket = await listen({ admin: tapdisk, failures, log });
  const fifos = new FifoServer({
    readFifo,
    writeFifo,
    host: tapdisk,
    onIdle: end,
    dataModel: dataModelOf(process.env),
    hostTimeoutMs: hostTimeoutOf(process.env),
    log,
    failures,
  });
  const forgetSignals = handleSignals({
    openDisks: () => tapdisk.openDisks,
    closeAll: () => tapdisk.closeAll(),
    end,
    log,
  });
  log.info({ readFifo, writeFifo, socket: socket?.path }, 'serving');
  // While nobody waits: a process is often there before its disk is known.
  setImmediate(prepareFrontend);
  const reason = await ended;
  let exitCode = EXIT_OK;
  try {
    await tapdisk.closeAll();
  } catch (error) {
    exitCode = EXIT_NOT_CLOSED;
    log.error({}, sentenceOf(error));
  }
  forgetSignals();
  await fifos.close();
  await socket?.close();
  log.info({ exitCode }, `ending: ${reason}`);
  return exitCode;
}
