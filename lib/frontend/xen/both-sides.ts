/** What both sides of a VBD say in xenstore: looked at together, and watched. */
import { assert } from '../../assert';
import { TapdiskError } from '../../errors';
import { XENBUS_UNKNOWN, type XenbusState, xenbusStateOf } from '../../xenstore/xenbus-state';
import type { XenStore, XenStoreWatch } from '../../xenstore/xenstore';
import type { BackEndNodes, BackEndView } from './back-end-nodes';
import { type OpenStore, StoreLink } from './store-link';

export interface SidesFound {
  readonly store: XenStore;
  /** Null: the back end's directory is gone. */
  readonly view: BackEndView | null;
  readonly frontEnd: XenbusState;
}

export interface BothSidesEvents {
  /** Something may have changed on either side; also the first time, and after a gap. */
  onChanged(): void;
  onTrouble(reason: unknown): void;
}

export class BothSides {
  private readonly link: StoreLink;
  private frontEndWatch: { path: string; watch: XenStoreWatch } | null = null;

  constructor(
    backEndPath: string,
    private readonly nodes: BackEndNodes,
    openStore: OpenStore,
    private readonly events: BothSidesEvents,
  ) {
    this.link = new StoreLink(openStore, {
      onConnected: async (store) => {
        this.frontEndWatch = null;
        // Its first call comes at once and is the first look.
        await store.watch(backEndPath, () => events.onChanged());
      },
      onTrouble: (reason) => events.onTrouble(reason),
    });
  }

  start(): void {
    this.link.start();
  }

  close(): Promise<void> {
    return this.link.close();
  }

  /** Null while xenstore is out of reach: `onChanged` tells when it is back. */
  async look(): Promise<SidesFound | null> {
    const { store } = this.link;
    if (store === null) return null;
    const view = await this.nodes.view(store);
    if (view === null) return { store, view, frontEnd: XENBUS_UNKNOWN };
    return { store, view, frontEnd: await this.frontEndState(store, view) };
  }

  /** Watched from the first look on that knows where it is. */
  private async frontEndState(store: XenStore, view: BackEndView): Promise<XenbusState> {
    let path: string;
    try {
      path = `${this.nodes.frontEndPath(view)}/state`;
    } catch (error) {
      // What is not the guest's is not read; whoever needs its path hears why.
      assert(error instanceof TapdiskError, 'only the path is refused');
      return XENBUS_UNKNOWN;
    }
    if (this.frontEndWatch?.path !== path) {
      const former = this.frontEndWatch?.watch;
      const watch = await store.watch(path, () => this.events.onChanged());
      this.frontEndWatch = { path, watch };
      await former?.stop();
    }
    return xenbusStateOf(await store.read(path));
  }
}
