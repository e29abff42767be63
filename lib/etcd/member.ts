/** One member of the cluster: the connection to it, and what is known of its health. */
import type { Cancellable } from './attempt';
import { Connection, probe, type Security } from './connection';
import { quotaBytes } from './member-quota';

export interface MemberSetting {
  readonly endpoint: string;
  readonly security: Security;
  readonly connectTimeoutMs: number;
  readonly nowMs: () => number;
}

export class Member {
  readonly endpoint: string;
  /** Until then other members are preferred. */
  avoidedUntilMs = 0;
  /** True where no trusted connection came about when it was last tried. */
  distrusted = false;
  private connection: Connection | null = null;

  constructor(private readonly setting: MemberSetting) {
    this.endpoint = setting.endpoint;
  }

  /** As MemberStatus has it. */
  quotaBytes(deadlineMs: number): Promise<number | null> {
    return quotaBytes(this.endpoint, this.setting.security.tls, deadlineMs);
  }

  /** The connection that there is, or a new one. */
  async connect(attempt: Cancellable): Promise<Connection> {
    if (this.connection !== null) return this.connection;
    const { endpoint, security, connectTimeoutMs, nowMs } = this.setting;
    await probe(endpoint, connectTimeoutMs, attempt);
    // Another call may have been first.
    this.connection ??= new Connection(endpoint, security, nowMs);
    return this.connection;
  }

  /**
   * The next call shall have a new connection: this one failed, or has been silent. TCP repeats
   * what was lost ever more rarely, so on an old connection a network that is back goes unnoticed.
   */
  retire(connection: Connection): void {
    connection.retire();
    if (this.connection === connection) this.connection = null;
  }

  close(): void {
    this.connection?.close();
    this.connection = null;
  }
}
