/** The XenStore of one connection: nodes at once, transactions, watches. */
import { setTimeout as delay } from 'node:timers/promises';
import { ConnectedNodes } from './connected-nodes';
import type { XenStoreConnection } from './connection';
import {
  TRANSACTION_PAUSE_MS_MAX,
  TRANSACTION_PAUSE_MS_MIN,
  TRANSACTION_TRIES_MAX,
} from './limits';
import { checkPath } from './path';
import { encodeStrings, XS } from './wire';
import { XenStoreError } from './xenstore-error';
import type { XenStore, XenStoreNodes, XenStoreWatch } from './xenstore';

export class XenStoreClient extends ConnectedNodes implements XenStore {
  private lastToken = 0;

  constructor(private readonly own: XenStoreConnection) {
    super(own, 0);
  }

  async transaction<T>(body: (inside: XenStoreNodes) => Promise<T>): Promise<T> {
    let pauseMs = TRANSACTION_PAUSE_MS_MIN;
    for (let tries = 0; tries < TRANSACTION_TRIES_MAX; tries++) {
      if (tries > 0) {
        await delay(pauseMs);
        pauseMs = Math.min(2 * pauseMs, TRANSACTION_PAUSE_MS_MAX);
      }
      const id = await this.begin();
      let result: T;
      try {
        result = await body(new ConnectedNodes(this.own, id));
      } catch (error) {
        // The body's reason counts; a transaction that is not ended dies with the connection.
        await this.end(id, 'F').catch(() => undefined);
        if (!isConflict(error)) throw error;
        continue;
      }
      if (await this.commit(id)) return result;
    }
    throw new XenStoreError(
      'XENSTORE_CONFLICT',
      `A transaction met changes of others ${TRANSACTION_TRIES_MAX} times in xenstore; try again.`,
      'EAGAIN',
      { transient: true },
    );
  }

  async watch(path: string, onChange: (changed: string) => void): Promise<XenStoreWatch> {
    checkPath(path);
    const token = `w${++this.lastToken}`;
    const payload = encodeStrings(path, token);
    const ask = (type: number, verb: string): Promise<Buffer> =>
      this.own.ask({ type, transactionId: 0, payload, verb, path });
    // Before it is asked for: its first event may come with the answer.
    this.own.expect(token, onChange);
    try {
      await ask(XS.WATCH, 'watch');
    } catch (error) {
      this.own.forget(token);
      throw error;
    }
    return {
      stop: async () => {
        this.own.forget(token);
        try {
          await ask(XS.UNWATCH, 'stop watching');
        } catch (error) {
          if (!(error instanceof XenStoreError) || error.code !== 'XENSTORE_LOST') throw error;
        }
      },
    };
  }

  async domainExists(domid: number): Promise<boolean> {
    const answer = await this.own.ask({
      type: XS.IS_DOMAIN_INTRODUCED,
      transactionId: 0,
      payload: encodeStrings(String(domid)),
      verb: 'look for',
      path: `domain ${domid}`,
    });
    return answer.toString('latin1').startsWith('T');
  }

  close(): void {
    this.own.close();
  }

  private async begin(): Promise<number> {
    const answer = await this.own.ask({
      type: XS.TRANSACTION_START,
      transactionId: 0,
      payload: encodeStrings(''),
      verb: 'begin',
      path: 'a transaction',
    });
    return Number.parseInt(answer.toString('latin1'), 10);
  }

  private async end(transactionId: number, how: 'T' | 'F'): Promise<void> {
    await this.own.ask({
      type: XS.TRANSACTION_END,
      transactionId,
      payload: encodeStrings(how),
      verb: 'end',
      path: 'a transaction',
    });
  }

  /** False where another client's change came first. */
  private async commit(id: number): Promise<boolean> {
    try {
      await this.end(id, 'T');
      return true;
    } catch (error) {
      if (isConflict(error)) return false;
      throw error;
    }
  }
}

function isConflict(error: unknown): boolean {
  return (
    error instanceof XenStoreError && error.code === 'XENSTORE_REFUSED' && error.errno === 'EAGAIN'
  );
}
