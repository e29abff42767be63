/** The back end's own directory in xenstore: what the toolstack wrote there, and how states change. */
import { TapdiskError } from '../../errors';
import type { BackEndPath } from '../../xenstore/back-end-path';
import { type NodeChanges, readNodes, writeNodes } from '../../xenstore/directory';
import { type XenbusState, xenbusStateOf } from '../../xenstore/xenbus-state';
import type { XenStore, XenStoreNodes } from '../../xenstore/xenstore';
import type { DiskMarks } from './features';

/** What a look at the directory found. */
export interface BackEndView extends DiskMarks {
  readonly state: XenbusState;
  readonly frontEndPath: string | undefined;
  readonly frontEndId: string | undefined;
  readonly online: boolean;
  readonly hotplugDone: boolean;
  /** The node that says why a ring was stopped is there. */
  readonly failed: boolean;
  /** The toolstack wants a disk that the guest cannot write to. */
  readonly readOnly: boolean;
  readonly discardEnabled: boolean;
  /** The front end was told that its grants may stay mapped, by this process or one before it. */
  readonly persistentOffered: boolean;
  /** As was last written for the front end. */
  readonly sectors: string | undefined;
}

/** Where the one sentence of what went wrong is: for people, and for this program's next process. */
const ERROR_NODE = 'error';
/** Where libxl looks when a disk does not come up. */
const HOTPLUG_ERROR_NODE = 'hotplug-error';

const NODES_READ = [
  'state',
  'frontend',
  'frontend-id',
  'online',
  'hotplug-status',
  'script',
  ERROR_NODE,
  'mode',
  'device-type',
  'removable',
  'discard-enable',
  'feature-persistent',
  'sectors',
] as const;

export class BackEndNodes {
  constructor(private readonly place: BackEndPath) {}

  /** Null: the directory is gone. */
  async view(store: XenStoreNodes): Promise<BackEndView | null> {
    const text = await readNodes(store, this.place.path, NODES_READ);
    const { state, frontend: frontEndPath } = text;
    if (state === undefined && frontEndPath === undefined) {
      if ((await store.list(this.place.path)) === undefined) return null;
    }
    return {
      state: xenbusStateOf(state),
      frontEndPath,
      frontEndId: text['frontend-id'],
      online: text.online !== '0',
      hotplugDone: text['hotplug-status'] === 'connected' || text.script === undefined,
      failed: text[ERROR_NODE] !== undefined,
      readOnly: text.mode === 'r',
      cdrom: text['device-type'] === 'cdrom',
      removable: text.removable === '1',
      discardEnabled: text['discard-enable'] !== '0',
      persistentOffered: text['feature-persistent'] === '1',
      sectors: text.sectors,
    };
  }

  /**
   * The front end's directory, checked: a path that led elsewhere would have this side read, and
   * obey, what another guest wrote.
   *
   * @throws TapdiskError XEN_BACK_END_INVALID
   */
  frontEndPath(view: BackEndView): string {
    const { domid, path } = this.place;
    const { frontEndPath, frontEndId } = view;
    if (frontEndId !== String(domid)) {
      throw this.invalid(
        `its frontend-id is ${frontEndId ?? 'missing'}, and ${path} is of ${domid}`,
      );
    }
    const home = `/local/domain/${domid}/`;
    if (frontEndPath === undefined || !frontEndPath.startsWith(home)) {
      throw this.invalid(`its frontend ${frontEndPath ?? 'is missing and'} is not below ${home}`);
    }
    return frontEndPath.replace(/\/+$/, '');
  }

  /** @throws TapdiskError XEN_BACK_END_INVALID: the guest could write where it must not */
  checkMode(view: BackEndView, disk: { readonly readOnly: boolean }): void {
    if (!view.readOnly || disk.readOnly) return;
    throw this.invalid('its mode is r, but this process has the volume to be written to');
  }

  /**
   * Writes `next` and the nodes with it where the state still is `expected`. False where the
   * toolstack was first: then nothing is written, above all not into a directory that is gone.
   */
  change(
    store: XenStore,
    expected: XenbusState,
    next: XenbusState,
    nodes: NodeChanges = {},
  ): Promise<boolean> {
    return store.transaction(async (inside) => {
      const state = await inside.read(this.pathOf('state'));
      if (xenbusStateOf(state) !== expected) return false;
      if ((await inside.read(this.pathOf('frontend-id'))) === undefined) return false;
      await writeNodes(inside, this.place.path, nodes);
      // Last, and even where it stays the same: a front end's watch is on this node.
      await inside.write(this.pathOf('state'), String(next));
      return true;
    });
  }

  /** How a failure is told, for `change`. */
  failureNodes(view: BackEndView, sentence: string): NodeChanges {
    if (view.hotplugDone) return { [ERROR_NODE]: sentence };
    return { [ERROR_NODE]: sentence, [HOTPLUG_ERROR_NODE]: sentence };
  }

  /** … and how it is taken back. */
  readonly noFailureNodes: NodeChanges = { [ERROR_NODE]: null };

  private pathOf(name: string): string {
    return `${this.place.path}/${name}`;
  }

  private invalid(what: string): TapdiskError {
    return new TapdiskError(
      'XEN_BACK_END_INVALID',
      `the toolstack's ${this.place.path} cannot be served: ${what}; detach the disk and attach it anew`,
    );
  }
}
