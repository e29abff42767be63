/** Domains of this host, as xenstore knows them. */
import { TapdiskError } from '../errors';
import type { XenStoreNodes } from '../xenstore/xenstore';

export interface Domain {
  readonly domid: number;
  /** As its toolstack calls it; its number where it has no name. */
  readonly name: string;
}

/** By its name or its number. @throws TapdiskError DOMAIN_NOT_FOUND */
export async function findDomain(store: XenStoreNodes, wanted: string): Promise<Domain> {
  const domids = (await store.list('/local/domain')) ?? [];
  for (const domid of domids) {
    const name = await store.read(`/local/domain/${domid}/name`);
    if (wanted === domid || wanted === name) return { domid: Number(domid), name: name ?? domid };
  }
  throw new TapdiskError(
    'DOMAIN_NOT_FOUND',
    `There is no domain ${JSON.stringify(wanted)} on this host; xl list shows those there are.`,
  );
}
