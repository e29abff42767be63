/** Keeps a connection to xenstore: where it is lost, makes another. */
import type { OpenXenStoreOptions } from '../../xenstore/open-xenstore';
import type { XenStore } from '../../xenstore/xenstore';
import { XENSTORE_RETRY_MS } from './limits';

export type OpenStore = (options: OpenXenStoreOptions) => Promise<XenStore>;

export interface StoreLinkEvents {
  /** A new connection: no watch is set on it. Where it rejects, it is given up for another. */
  onConnected(store: XenStore): Promise<void>;
  /** Told of each loss, and of each try that failed. */
  onTrouble(reason: unknown): void;
}

export class StoreLink {
  /** Null while there is no connection. */
  store: XenStore | null = null;
  private connecting: Promise<void> | null = null;
  private retry: NodeJS.Timeout | null = null;
  private closed = false;

  constructor(
    private readonly open: OpenStore,
    private readonly events: StoreLinkEvents,
  ) {}

  start(): void {
    this.connecting = this.connect();
  }

  /** Resolves when there is no connection, and none is being made. */
  async close(): Promise<void> {
    this.closed = true;
    if (this.retry !== null) clearTimeout(this.retry);
    await this.connecting;
    this.store?.close();
    this.store = null;
  }

  private async connect(): Promise<void> {
    let store: XenStore | null = null;
    let lost = false;
    const lose = (reason: unknown): void => {
      if (lost) return;
      lost = true;
      this.lose(reason);
    };
    try {
      store = await this.open({ onLost: lose });
      if (lost) return;
      this.store = store;
      if (!this.closed) await this.events.onConnected(store);
    } catch (error) {
      store?.close();
      lose(error);
    }
  }

  private lose(reason: unknown): void {
    this.store = null;
    if (this.closed) return;
    this.events.onTrouble(reason);
    this.retry = setTimeout(() => this.start(), XENSTORE_RETRY_MS);
  }
}
