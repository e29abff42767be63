/** Takes an accepted connection over with a receive buffer of our own, where that is possible. */
import { closeSync } from 'node:fs';
import { type OnReadOpts, Socket, type SocketConstructorOpts } from 'node:net';
import { duplicateDescriptor } from '../../../native-bindings/stream-socket';

export interface AdoptedSocket {
  readonly socket: Socket;
  /** May be written to beside the socket's stream. */
  readonly fd: number;
}

/**
 * Node lets a server's sockets read into new buffers only, but a socket that is made from a
 * descriptor into any. So the accepted one is given up for another of the same connection. It must
 * have been accepted paused (`pauseOnConnect`), and nothing have been read from or written to it.
 *
 * Null where that cannot be done; then the accepted socket is as it was.
 */
export function adoptSocket(accepted: Socket, onread: OnReadOpts): AdoptedSocket | null {
  const fd = duplicateDescriptor(accepted);
  if (fd === null) return null;
  const options: SocketConstructorOpts & { onread: OnReadOpts } = {
    fd,
    onread,
    allowHalfOpen: true,
  };
  let socket: Socket;
  try {
    socket = new Socket(options);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  accepted.destroy();
  return { socket, fd };
}
