/** Reads what a guest's front end wrote about its rings, and believes none of it unchecked. */
import { TapdiskError } from '../../errors';
import type { XenStoreNodes } from '../../xenstore/xenstore';
import { EVENT_CHANNEL_MAX, SHOWN_VALUE_CHARACTERS_MAX } from './limits';
import type { XenRingsAddress } from './rings';

/** What of a ring's address the guest says (blkif.h, "Frontend XenBus Nodes"). */
export type FrontEndRings = Pick<XenRingsAddress, 'abi' | 'ringOrder' | 'queues' | 'persistent'>;

/** What was offered, so that nothing beyond it is taken. */
export interface OfferedRings {
  readonly ringPageOrderMax: number;
  readonly queuesMax: number;
  readonly persistent: boolean;
}

const U32_MAX = 2 ** 32 - 1;

/** Absent: the back end's own, which is Linux' and xen-blkback's reading. */
const PROTOCOLS: ReadonlyMap<string, XenRingsAddress['abi']> = new Map([
  ['x86_64-abi', 'x86_64'],
  ['x86_32-abi', 'x86_32'],
]);

/**
 * Each node is read once. `path`: the front end's directory.
 *
 * @throws TapdiskError XEN_FRONT_END_INVALID
 */
export async function readFrontEndRings(
  store: Pick<XenStoreNodes, 'read'>,
  path: string,
  offered: OfferedRings,
): Promise<FrontEndRings> {
  const nodes = new GuestNodes(store, path);
  const abi = await readAbi(nodes);
  const queueCount = await nodes.number('multi-queue-num-queues', 1, offered.queuesMax, 1);
  const ringOrder = await readRingOrder(nodes, offered.ringPageOrderMax);
  const wantsPersistent = (await nodes.number('feature-persistent', 0, 1, 0)) === 1;
  const queues: FrontEndRings['queues'][number][] = [];
  for (let queue = 0; queue < queueCount; queue++) {
    // One queue lies in the directory itself, several in one of their own each.
    const prefix = queueCount === 1 ? '' : `queue-${queue}/`;
    queues.push({
      ringRefs: await readRingRefs(nodes, prefix, ringOrder),
      eventChannel: await nodes.number(`${prefix}event-channel`, 1, EVENT_CHANNEL_MAX),
    });
  }
  return { abi, ringOrder, queues, persistent: wantsPersistent && offered.persistent };
}

async function readAbi(nodes: GuestNodes): Promise<XenRingsAddress['abi']> {
  const protocol = await nodes.text('protocol');
  const abi = PROTOCOLS.get(protocol ?? 'x86_64-abi');
  if (abi !== undefined) return abi;
  throw nodes.invalid('protocol', protocol, [...PROTOCOLS.keys()].join(' or '));
}

/** `num-ring-pages` is the older way to say it (blkif.h). */
async function readRingOrder(nodes: GuestNodes, orderMax: number): Promise<number> {
  if ((await nodes.text('ring-page-order')) !== undefined) {
    return nodes.number('ring-page-order', 0, orderMax);
  }
  const pages = await nodes.number('num-ring-pages', 1, 2 ** orderMax, 1);
  const order = Math.log2(pages);
  if (Number.isInteger(order)) return order;
  throw nodes.invalid('num-ring-pages', String(pages), 'a power of two');
}

async function readRingRefs(
  nodes: GuestNodes,
  prefix: string,
  ringOrder: number,
): Promise<number[]> {
  // A ring of one page may be written either way.
  if (ringOrder === 0 && (await nodes.text(`${prefix}ring-ref`)) !== undefined) {
    return [await nodes.number(`${prefix}ring-ref`, 0, U32_MAX)];
  }
  const refs: number[] = [];
  for (let page = 0; page < 2 ** ringOrder; page++) {
    refs.push(await nodes.number(`${prefix}ring-ref${page}`, 0, U32_MAX));
  }
  return refs;
}

/** The nodes of one directory that a guest may write, each read once. */
class GuestNodes {
  private readonly known = new Map<string, string | undefined>();

  constructor(
    private readonly store: Pick<XenStoreNodes, 'read'>,
    private readonly path: string,
  ) {}

  async text(name: string): Promise<string | undefined> {
    if (!this.known.has(name)) this.known.set(name, await this.store.read(`${this.path}/${name}`));
    return this.known.get(name);
  }

  /** A whole number in decimal, from `min` to `max`; `absent` where there is no such node. */
  async number(name: string, min: number, max: number, absent?: number): Promise<number> {
    const text = await this.text(name);
    if (text === undefined && absent !== undefined) return absent;
    const value = text !== undefined && /^[0-9]{1,10}$/.test(text) ? Number(text) : NaN;
    if (value >= min && value <= max) return value;
    throw this.invalid(name, text, `a number from ${min} to ${max}`);
  }

  invalid(name: string, text: string | undefined, expected: string): TapdiskError {
    const found = text === undefined ? 'is missing' : `is ${shown(text)}`;
    return new TapdiskError(
      'XEN_FRONT_END_INVALID',
      `the guest's ${this.path}/${name} ${found}, and must be ${expected}; its disk is not ` +
        'connected until its driver connects anew',
    );
  }
}

/** Whatever a guest wrote, as something that a log and xenstore can hold. */
function shown(text: string): string {
  const start = text.slice(0, SHOWN_VALUE_CHARACTERS_MAX);
  return JSON.stringify(start) + (start.length < text.length ? '…' : '');
}
