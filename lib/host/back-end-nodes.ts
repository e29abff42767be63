/** What the daemon reads in a back end's directory, and writes into it while it is there. */
import type { XenStore } from '../xenstore/xenstore';

/** enum xenbus_state (xen/include/public/io/xenbus.h), as nodes hold them. */
export const XENBUS_STATE = {
  initialising: '1',
  initWait: '2',
  initialised: '3',
  connected: '4',
  closing: '5',
  closed: '6',
} as const;

/** The pid of the tapdisk process, for the hotplug script and for people. */
export const PID_NODE = 'tapdisk-ts-pid';

const READ = ['params', 'script', 'mode', 'online', 'state', 'hotplug-status', PID_NODE] as const;

export type BackEndNodes = Readonly<Record<(typeof READ)[number], string | undefined>>;

/** All of one instant; null where there is no such directory. */
export function readBackEnd(store: XenStore, path: string): Promise<BackEndNodes | null> {
  return store.transaction(async (inside) => {
    if ((await inside.read(path)) === undefined) return null;
    const values = await Promise.all(READ.map((name) => inside.read(`${path}/${name}`)));
    return Object.fromEntries(READ.map((name, index) => [name, values[index]])) as BackEndNodes;
  });
}

/** From one state to another; not where the toolstack has changed it meanwhile. */
export function changeState(
  store: XenStore,
  path: string,
  from: string,
  to: string,
): Promise<boolean> {
  return store.transaction(async (inside) => {
    if ((await inside.read(`${path}/state`)) !== from) return false;
    await inside.write(`${path}/state`, to);
    return true;
  });
}

/** Writes (null: removes) nodes of the directory; not where it is gone, which would make it anew. */
export function writeBackEnd(
  store: XenStore,
  path: string,
  nodes: Readonly<Record<string, string | null>>,
): Promise<boolean> {
  return store.transaction(async (inside) => {
    if ((await inside.read(path)) === undefined) return false;
    for (const [name, value] of Object.entries(nodes)) {
      if (value === null) await inside.remove(`${path}/${name}`);
      else await inside.write(`${path}/${name}`, value);
    }
    return true;
  });
}
