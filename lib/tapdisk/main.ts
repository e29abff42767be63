/** A tapdisk process, from its two FIFOs to its end. */
import { prepareLibc } from '../../native-bindings/libc';
import { Failures } from '../control/failures';
import { dataModelOf, FifoServer, hostTimeoutOf } from '../control/fifo-server';
import { createLog } from '../control/create-log';
import type { Log } from '../control/log';
import { handleSignals } from '../control/signals';
import { SocketServer, type SocketServerOptions } from '../control/socket-server';
import { sentenceOf } from '../errors';
import { loadPools } from '../pool/open-pool';
import { LOAD_KINDS_AFTER_MS } from './limits';
import { loadFrontends } from './open-frontend';
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

/** For a process that was started ahead: its disk comes at once, or after an upgrade of our files. */
async function loadKinds(log: Log): Promise<void> {
  try {
    loadFrontends();
    prepareLibc();
    await loadPools();
  } catch (error) {
    log.warn({}, `not loaded ahead: ${sentenceOf(error)}`);
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
  const ahead = setTimeout(() => {
    if (tapdisk.openDisks === 0) void loadKinds(log);
  }, LOAD_KINDS_AFTER_MS);
  const reason = await ended;
  clearTimeout(ahead);
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
