/** Takes an accepted connection over by its descriptor, to read and write it beside Node's stream. */
import { closeSync } from 'node:fs';
import { Socket } from 'node:net';
import { duplicateDescriptor, setSendBuffer } from '../../../native-bindings/stream-socket';
import { SEND_BUFFER_BYTES } from './limits';

export interface AdoptedSocket {
  /** For writing and closing; it reads nothing. */
  readonly socket: Socket;
  /** The socket's own; it is closed with it. */
  readonly fd: number;
}

/**
 * Node lets nobody else read what its sockets read, and gives no descriptor of them away. So the
 * accepted one is given up for another of the same connection. It must have been accepted paused
 * (`pauseOnConnect`), and nothing have been read from or written to it.
 *
 * Null where that cannot be done; then the accepted socket is as it was.
 */
export function adoptSocket(accepted: Socket): AdoptedSocket | null {
  const fd = duplicateDescriptor(accepted);
  if (fd === null) return null;
  // TCP's buffers grow by themselves, as far as the way is long; a unix socket's do not.
  if (accepted.remoteAddress === undefined) setSendBuffer(fd, SEND_BUFFER_BYTES);
  let socket: Socket;
  try {
    socket = new Socket({ fd, readable: false, writable: true });
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  accepted.destroy();
  return { socket, fd };
}
