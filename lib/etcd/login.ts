/** The token that stands for user and password, fetched when a call needs it. */
import type { IAuthenticateResponse } from 'etcd3';
import type { Clock } from '../clock';
import { Attempt } from './attempt';
import { isLoginOff } from './call-failure';
import type { Connection } from './connection';
import { AUTHENTICATE_TIMEOUT_MS } from './limits';
import type { Secret } from './secret';

export interface User {
  readonly name: string;
  readonly password: Secret;
}

/** One for the whole cluster: every member knows every token. */
export class Login {
  private current: string | null = null;
  /** Calls that come meanwhile share the answer; etcd makes it slow on purpose. */
  private readonly underWay = new WeakMap<Connection, Promise<string | null>>();

  constructor(
    private readonly user: User | null,
    private readonly clock: Clock,
    private readonly onExpired: (connection: Connection) => Error,
  ) {}

  /** Null where calls need no token. Rejects with gRPC's error. */
  async token(connection: Connection): Promise<string | null> {
    if (this.user === null || this.current !== null) return this.current;
    let fetched = this.underWay.get(connection);
    if (fetched === undefined) {
      fetched = this.fetch(connection, this.user).finally(() => this.underWay.delete(connection));
      this.underWay.set(connection, fetched);
    }
    return fetched;
  }

  /** The token was refused; the next call fetches another, if nobody has yet. */
  forget(token: string | null): void {
    if (this.current === token) this.current = null;
  }

  private async fetch(connection: Connection, user: User): Promise<string | null> {
    const attempt = new Attempt<IAuthenticateResponse>(this.clock, AUTHENTICATE_TIMEOUT_MS, () =>
      this.onExpired(connection),
    );
    const request = { name: user.name, password: user.password.reveal() };
    const extras = { token: null, requireLeader: true };
    try {
      const { token } = await attempt.run(() =>
        connection.unary('Auth', 'authenticate', request, extras, attempt),
      );
      this.current = token;
      return token;
    } catch (error) {
      if (isLoginOff(error)) return null;
      throw error;
    }
  }
}
