/** What the daemon reads in a back end's directory, and writes into it while it is there. */
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
    const names = [...TEXTS, 'state'] as const;
    const values = await Promise.all(names.map((name) => inside.read(`${path}/${name}`)));
    const { state, ...texts } = Object.fromEntries(
      names.map((name, index) => [name, values[index]]),
    ) as Record<(typeof names)[number], string | undefined>;
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
