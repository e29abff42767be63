/** Several nodes of one directory of xenstore at once. */
import type { XenStoreNodes } from './xenstore';

/** By their names in the directory: nodes to write; null: to remove. */
export type NodeChanges = Readonly<Record<string, string | null>>;

/** By their names; undefined where there is no such node. Of one instant inside a transaction only. */
export async function readNodes<Name extends string>(
  store: Pick<XenStoreNodes, 'read'>,
  directory: string,
  names: readonly Name[],
): Promise<Readonly<Record<Name, string | undefined>>> {
  const values = await Promise.all(names.map((name) => store.read(`${directory}/${name}`)));
  const read = names.map((name, index) => [name, values[index]] as const);
  return Object.fromEntries(read) as Record<Name, string | undefined>;
}

/** In their order. Makes the directory, too, where it is missing. */
export async function writeNodes(
  store: Pick<XenStoreNodes, 'write' | 'remove'>,
  directory: string,
  changes: NodeChanges,
): Promise<void> {
  for (const [name, value] of Object.entries(changes)) {
    if (value === null) await store.remove(`${directory}/${name}`);
    else await store.write(`${directory}/${name}`, value);
  }
}
