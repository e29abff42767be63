/** Serves a VBD to a Xen guest's own block driver: rings in its memory, found through xenstore. */
import { TapdiskError } from '../../errors';
import type { MemoryArea } from '../../store/memory-area';
import type { BlockDevice } from '../../vbd/block-device';
import { parseBackEndPath } from '../../xenstore/back-end-path';
import type { Frontend } from '../frontend';
import { DRAIN_TIMEOUT_MS } from '../limits';
import { newRingCounters, type RingCounters } from '../ring-counters';
import { askedGrantUse, type GrantUse } from './grant-use';
import { Handshake, type HandshakeEvents } from './handshake';
import type { XenRings } from './rings';
import { WithoutDiscard } from './without-discard';
import { xenFeatures } from './xen-features';
import type { XenHost } from './xen-host';

export interface XenDisk {
  /** The back end's directory in xenstore, "backend/vbd/5/51712". */
  readonly backEnd: string;
  /** Of the guest, as the toolstack told the process; must be the path's. */
  readonly domid: number;
  /** Where the rings' journals are: private, and gone after a boot. */
  readonly journalDirectory: string;
}

export class XenFrontend implements Frontend {
  readonly kind = 'xen';
  readonly path: string;
  readonly flushCapable = true;
  /** The guest waits, and the journal tells whoever comes what was not answered. */
  readonly survivesClose = true;

  private readonly handshake: Handshake;
  /** Of the rings that were let go of. */
  private readonly earlier = newRingCounters();

  /**
   * Nothing is said in xenstore before `start`.
   *
   * @throws TapdiskError XEN_PATH_INVALID, XEN_DOMID_MISMATCH, XEN_GRANTS_UNKNOWN,
   *   XEN_DEVICE_UNUSABLE
   */
  static open(
    disk: XenDisk,
    blockDevice: BlockDevice,
    events: HandshakeEvents,
    openHost: () => XenHost,
    grants = askedGrantUse(),
  ): XenFrontend {
    const place = parseBackEndPath(disk.backEnd);
    if (place.domid !== disk.domid) {
      throw new TapdiskError(
        'XEN_DOMID_MISMATCH',
        `${disk.backEnd} is of domain ${place.domid}, but the disk was to be connected to ` +
          `domain ${disk.domid}; attach it anew`,
      );
    }
    return new XenFrontend(disk, blockDevice, events, openHost(), grants);
  }

  private constructor(
    disk: XenDisk,
    blockDevice: BlockDevice,
    events: HandshakeEvents,
    private readonly host: XenHost,
    grants: GrantUse,
  ) {
    const place = parseBackEndPath(disk.backEnd);
    const { domid, key: journalKey } = place;
    const { journalDirectory } = disk;
    this.path = `xen:${disk.backEnd}`;
    this.handshake = new Handshake({
      place,
      features: xenFeatures(grants),
      blockDevice,
      events,
      openStore: (options) => host.openStore(options),
      openRings: ({ discard, ...rings }, onStopped) => {
        const address = { ...rings, domid, journalDirectory, journalKey };
        const device = discard ? blockDevice : new WithoutDiscard(blockDevice);
        return host.openRings(address, device, { onStopped });
      },
      onRingsClosed: (rings) => addCounters(this.earlier, rings.counters),
    });
  }

  get steadyMemory(): readonly MemoryArea[] {
    return this.host.steadyMemory;
  }

  get counters(): Readonly<RingCounters> {
    const sum = { ...this.earlier };
    if (this.rings !== null) addCounters(sum, this.rings.counters);
    return sum;
  }

  get stopped(): TapdiskError | null {
    return this.handshake.stopped;
  }

  get inFlight(): number {
    return this.rings?.inFlight ?? 0;
  }

  start(): void {
    this.handshake.start();
  }

  pause(): void {
    this.handshake.pause();
  }

  resume(): void {
    this.handshake.resume();
  }

  drained(timeoutMs = DRAIN_TIMEOUT_MS): Promise<void> {
    return this.rings?.drained(timeoutMs) ?? Promise.resolve();
  }

  resized(): void {
    this.handshake.resized();
  }

  async close(): Promise<void> {
    await this.handshake.close();
    this.host.close();
  }

  afterRelease(): Promise<void> {
    return this.handshake.farewell();
  }

  private get rings(): XenRings | null {
    return this.handshake.session?.rings ?? null;
  }
}

function addCounters(sum: RingCounters, more: Readonly<RingCounters>): void {
  for (const name of Object.keys(sum) as (keyof RingCounters)[]) sum[name] += more[name];
}
