/** Credentials that know the sockets which they secure, so that these can be closed for certain. */
import type { Socket } from 'node:net';
import { ChannelCredentials } from '@grpc/grpc-js';

type CreateConnector = ChannelCredentials['_createSecureConnector'];

/**
 * gRPC leaves a socket alone whose TLS or HTTP/2 greeting is not answered, even when its channel is
 * closed: a hung member would keep this process from ending.
 */
export class OwnedSockets extends ChannelCredentials {
  private readonly sockets = new Set<Socket>();
  private closed = false;

  constructor(private readonly inner: ChannelCredentials) {
    super();
  }

  /** Also of every socket that is still to come. */
  close(): void {
    this.closed = true;
    for (const socket of this.sockets) socket.destroy();
  }

  override _isSecure(): boolean {
    return this.inner._isSecure();
  }

  override _equals(other: ChannelCredentials): boolean {
    return this === other;
  }

  override _createSecureConnector(
    ...[target, options, callCredentials]: Parameters<CreateConnector>
  ): ReturnType<CreateConnector> {
    const inner = this.inner._createSecureConnector(target, options, callCredentials);
    return {
      connect: (socket) => {
        this.sockets.add(socket);
        socket.once('close', () => this.sockets.delete(socket));
        if (this.closed) socket.destroy();
        return inner.connect(socket);
      },
      waitForReady: () => inner.waitForReady(),
      getCallCredentials: () => inner.getCallCredentials(),
      destroy: () => inner.destroy(),
    };
  }
}
