/** An NBD server: exports block devices on any number of addresses. */
import type { Socket } from 'node:net';
import type { TlsOptions } from 'node:tls';
import { assert } from '../../assert';
import { TapdiskError } from '../../errors';
import { Connection } from './connection';
import type { NbdExport } from './export';
import { LargeAreas } from './large-areas';
import {
  CONNECTIONS_MAX,
  DRAIN_TIMEOUT_MS,
  LINGER_TIMEOUT_MS,
  STALL_CHECK_INTERVAL_MS,
} from './limits';
import { isLoopback, type ListenAddress, resolveHost } from './listen-address';
import { Listener } from './listener';

export interface NbdServerOptions {
  readonly exports: readonly NbdExport[];
  /** Every client must use TLS so; null: none can. */
  readonly tls: TlsOptions | null;
  /** Serve addresses that other machines can reach, without TLS. */
  readonly insecure?: boolean;
  /** A connection was refused or failed; the server goes on. */
  readonly onConnectionFailed: (reason: TapdiskError) => void;
  readonly connectionsMax?: number;
  readonly largeRequestsBytesMax?: number;
  readonly negotiationTimeoutMs?: number;
  readonly stallTimeoutMs?: number;
  readonly stallCheckIntervalMs?: number;
}

/** How often a drain looks whether it is over. */
const DRAIN_CHECK_INTERVAL_MS = 5;

/** What a server counts, for statistics. */
export interface NbdCounters {
  /** Connections open now. */
  readonly connections: number;
  readonly accepted: number;
  /** Refused for the limit, or failed. */
  readonly failed: number;
}

export class NbdServer {
  /** Shared with the connections' negotiations: what is withdrawn cannot be chosen any more. */
  private readonly exports: NbdExport[];
  private readonly connections = new Set<Connection>();
  /** Closed, with requests still at a VBD. */
  private readonly ending = new Set<Connection>();
  private readonly largeAreas: LargeAreas;
  private readonly listeners: Listener[] = [];
  private readonly stallCheck: NodeJS.Timeout;
  private accepted = 0;
  private failed = 0;
  private isClosing = false;

  private constructor(private readonly options: NbdServerOptions) {
    this.exports = [...options.exports];
    this.largeAreas = new LargeAreas(options.largeRequestsBytesMax);
    const intervalMs = options.stallCheckIntervalMs ?? STALL_CHECK_INTERVAL_MS;
    this.stallCheck = setInterval(() => this.checkProgress(), intervalMs);
    this.stallCheck.unref();
  }

  /**
   * Listens on every address, or on none where one fails.
   *
   * @throws TapdiskError NBD_TLS_REQUIRED, NBD_LISTEN_BUSY, NBD_LISTEN_FAILED
   */
  static async listen(
    addresses: readonly ListenAddress[],
    options: NbdServerOptions,
  ): Promise<NbdServer> {
    const server = new NbdServer(options);
    try {
      for (const address of addresses) {
        const numeric = await checkedAddress(address, options);
        server.listeners.push(await Listener.open(numeric, (socket) => server.accept(socket)));
      }
      return server;
    } catch (error) {
      await server.close();
      throw error;
    }
  }

  /** Where it listens, with the ports that were really taken. */
  get addresses(): readonly ListenAddress[] {
    return this.listeners.map(({ address }) => address);
  }

  get counters(): NbdCounters {
    const { accepted, failed } = this;
    return { connections: this.connections.size, accepted, failed };
  }

  /** Connections that use an export now. */
  connectionsOf(exportName: string): number {
    let count = 0;
    for (const connection of this.connections) {
      if (connection.exportName === exportName) count++;
    }
    return count;
  }

  /** Offers one more. */
  offer(exported: NbdExport): void {
    this.exports.push(exported);
  }

  /** Accepts nobody any more; whoever is connected stays. */
  stopListening(): void {
    for (const listener of this.listeners.splice(0)) listener.close();
  }

  /**
   * Offers an export no longer, and hangs up on its clients before it returns: what they were not
   * answered is theirs to send elsewhere. Their requests at the device may end as they like.
   */
  hangUp(exportName: string): void {
    this.forget(exportName);
    for (const connection of [...this.connections]) {
      if (connection.exportName === exportName) connection.abandon();
    }
  }

  /**
   * Offers an export no longer: answers its requests in flight and hangs up on its clients.
   * Afterwards its device has no request of this server.
   *
   * @throws TapdiskError NBD_DRAIN_TIMEOUT; may then be called again
   */
  async withdraw(exportName: string, timeoutMs = DRAIN_TIMEOUT_MS): Promise<void> {
    this.forget(exportName);
    await this.drain(({ exportName: used }) => used === exportName, timeoutMs);
  }

  /**
   * Accepts nothing more, answers the requests in flight, and hangs up. Afterwards no device has a
   * request of this server.
   *
   * @throws TapdiskError NBD_DRAIN_TIMEOUT; may then be called again
   */
  async close(timeoutMs = DRAIN_TIMEOUT_MS): Promise<void> {
    this.isClosing = true;
    this.stopListening();
    await this.drain(() => true, timeoutMs);
    clearInterval(this.stallCheck);
    this.largeAreas.close();
  }

  private forget(exportName: string): void {
    const at = this.exports.findIndex(({ name }) => name === exportName);
    if (at >= 0) this.exports.splice(at, 1);
  }

  private async drain(isMeant: (one: Connection) => boolean, timeoutMs: number): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    const lingerUntil = performance.now() + LINGER_TIMEOUT_MS;
    for (const connection of this.connections) if (isMeant(connection)) connection.finish();
    for (;;) {
      const open = [...this.connections].filter(isMeant);
      const ending = [...this.ending].filter(isMeant);
      const inFlight = [...open, ...ending].reduce((sum, one) => sum + one.inFlight, 0);
      if (open.length === 0 && inFlight === 0) break;
      const now = performance.now();
      if (now > deadline) throw drainTimeout(inFlight, timeoutMs);
      if (now > lingerUntil) {
        for (const connection of open) if (connection.inFlight === 0) connection.destroy();
      }
      await new Promise((resolve) => setTimeout(resolve, DRAIN_CHECK_INTERVAL_MS));
    }
    // The last batch's own end may still be under way.
    await new Promise((resolve) => setImmediate(resolve));
  }

  private accept(socket: Socket): void {
    this.accepted++;
    const limit = this.options.connectionsMax ?? CONNECTIONS_MAX;
    if (this.isClosing || this.connections.size >= limit) {
      socket.destroy();
      if (!this.isClosing) this.connectionFailed(tooMany(limit));
      return;
    }
    try {
      const { exports } = this;
      const { tls, negotiationTimeoutMs, stallTimeoutMs } = this.options;
      const connection: Connection = new Connection({
        accepted: socket,
        exports,
        tls,
        largeAreas: this.largeAreas,
        ...(negotiationTimeoutMs !== undefined && { negotiationTimeoutMs }),
        ...(stallTimeoutMs !== undefined && { stallTimeoutMs }),
        onFailed: (reason) => this.connectionFailed(reason),
        onClosed: () => this.connectionClosed(connection),
      });
      this.connections.add(connection);
    } catch (error) {
      // No descriptor or no memory for one more: the others are not to suffer from it.
      socket.destroy();
      this.connectionFailed(notServed(error));
    }
  }

  private connectionFailed(reason: TapdiskError): void {
    this.failed++;
    this.options.onConnectionFailed(reason);
  }

  private connectionClosed(connection: Connection): void {
    this.connections.delete(connection);
    if (connection.inFlight > 0) this.ending.add(connection);
    for (const other of this.ending) if (other.inFlight === 0) this.ending.delete(other);
  }

  private checkProgress(): void {
    const now = performance.now();
    for (const connection of this.connections) connection.checkProgress(now);
  }
}

/**
 * The address with its host as a number, where it may be listened on.
 *
 * @throws TapdiskError NBD_TLS_REQUIRED, NBD_LISTEN_FAILED
 */
export async function checkedAddress(
  address: ListenAddress,
  { tls, insecure }: Pick<NbdServerOptions, 'tls' | 'insecure'>,
): Promise<ListenAddress> {
  if (address.kind === 'unix') return address;
  const numeric = { ...address, host: await resolveHost(address.host) };
  if (tls === null && insecure !== true) demandLocal(numeric);
  return numeric;
}

function demandLocal(address: ListenAddress): void {
  if (address.kind === 'unix' || isLoopback(address.host)) return;
  throw new TapdiskError(
    'NBD_TLS_REQUIRED',
    `Other machines can reach ${address.host}, and anyone who connects could read and write the ` +
      `volumes; give --tls-certificates or --tls-psk, or say --tls off if the network is safe.`,
  );
}

function tooMany(limit: number): TapdiskError {
  return new TapdiskError(
    'NBD_CONNECTIONS_MAX',
    `A client was hung up on, since ${limit} connections are open already.`,
    { transient: true },
  );
}

function notServed(error: unknown): TapdiskError {
  assert(error instanceof Error, 'what is thrown is an error');
  return new TapdiskError(
    'NBD_CONNECTION_REFUSED',
    `A client could not be served (${error.message}); see what this process has used up.`,
    { cause: error, transient: true },
  );
}

function drainTimeout(inFlight: number, timeoutMs: number): TapdiskError {
  return new TapdiskError(
    'NBD_DRAIN_TIMEOUT',
    `${inFlight} requests of NBD clients have not ended within ${timeoutMs / 1000} s; ` +
      `look at the store, then try again.`,
    { transient: true },
  );
}
