/** What the daemon reads in a back end's directory, and writes into it while it is there. */
import { type NodeChanges, readNodes, writeNodes } from '../xenstore/directory';
import { type XenbusState, xenbusStateOf } from '../xenstore/xenbus-state';
import type { XenStore } from '../xenstore/xenstore';

/** The pid of the tapdisk process, for the hotplug script and for people. */
export const PID_NODE = 'tapdisk-ts-pid';

const TEXTS = ['params', 'script', 'mode', 'online', 'hotplug-status', PID_NODE] as const;

export interface BackEndNodes extends Readonly<Record<(typeof TEXTS)[number], string | undefined>> {
  readonly state: XenbusState;
}

/** All of one instant; null where there is no such directory. */
export function readBackEnd(store: XenStore, path: string): Promise<BackEndNodes | null> {
  return store.transaction(async (inside) => {
    if ((await inside.read(path)) === undefined) return null;
    const { state, ...texts } = await readNodes(inside, path, [...TEXTS, 'state']);
    return { ...texts, state: xenbusStateOf(state) };
  });
}

/** From one state to another; not where the toolstack has changed or removed it meanwhile. */
export function changeState(
  store: XenStore,
  path: string,
  from: XenbusState,
  to: XenbusState,
): Promise<boolean> {
  return store.transaction(async (inside) => {
    if ((await inside.read(`${path}/state`)) !== String(from)) return false;
    await inside.write(`${path}/state`, String(to));
    return true;
  });
}

/** Changes nodes of the directory; not where it is gone, which would make it anew. */
export function writeBackEnd(store: XenStore, path: string, nodes: NodeChanges): Promise<boolean> {
  return store.transaction(async (inside) => {
    if ((await inside.read(path)) === undefined) return false;
    await writeNodes(inside, path, nodes);
    return true;
  });
}
