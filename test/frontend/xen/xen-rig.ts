/** A Xen front end between a double of xenstored, a guest that a test moves, and rings of no memory. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { TapdiskError } from '../../../lib/errors';
import type { GrantUse } from '../../../lib/frontend/xen/grant-use';
import { openXenRings } from '../../../lib/frontend/xen/open-xen-rings';
import type { XenRingsAddress } from '../../../lib/frontend/xen/rings';
import { XenFrontend } from '../../../lib/frontend/xen/xen-frontend';
import type { XenHost } from '../../../lib/frontend/xen/xen-host';
import type { BlockDevice } from '../../../lib/vbd/block-device';
import { openXenStore } from '../../../lib/xenstore/open-xenstore';
import { FakeBlockDevice, type FakeBlockDeviceOptions } from '../fake-block-device';
import { FakeXenstored } from '../../xenstore/fake-xenstored';
import type { FakeGuest } from './fake-guest';
import { FakeRings } from './fake-rings';

export const DOMID = 5;
export const BACK = `backend/vbd/${DOMID}/51712`;
export const FRONT = `/local/domain/${DOMID}/device/vbd/51712`;

/** What libxl writes for a disk with a script. */
const TOOLSTACK_BACK = {
  frontend: FRONT,
  'frontend-id': String(DOMID),
  params: 'main/web',
  script: '/etc/xen/scripts/block-tapdisk-ts',
  online: '1',
  removable: '0',
  bootable: '1',
  mode: 'w',
  'device-type': 'disk',
  'discard-enable': '1',
};

const TOOLSTACK_FRONT = {
  backend: `/local/domain/0/${BACK}`,
  'backend-id': '0',
  'virtual-device': '51712',
  'device-type': 'disk',
};

/** What a Linux guest with one queue of one page writes. */
export const ONE_PAGE = {
  'ring-ref': '8',
  'event-channel': '15',
  protocol: 'x86_64-abi',
  'feature-persistent': '1',
};

const WAIT_MS_MAX = 5_000;

export class XenRig {
  readonly directory: string;
  /** Every set of rings that was opened, in order. */
  readonly opened: FakeRings[] = [];
  readonly stops: TapdiskError[] = [];
  readonly notes: string[] = [];
  closesAsked = 0;
  /** Whose rings are opened instead of rings of no memory. */
  realGuest: FakeGuest | null = null;
  /** What opening rings throws. */
  openError: Error | null = null;
  /** How often it has thrown that. */
  openFailures = 0;
  hostsClosed = 0;
  /** Of the processes that are started from now on. */
  grants: GrantUse = 'copy';
  readonly disk: FakeBlockDevice;
  private frontends: XenFrontend[] = [];

  private constructor(
    readonly xenstored: FakeXenstored,
    directory: string,
    options: FakeBlockDeviceOptions,
  ) {
    this.directory = directory;
    this.disk = new FakeBlockDevice(options);
  }

  static async open(options: FakeBlockDeviceOptions = {}): Promise<XenRig> {
    const directory = mkdtempSync(path.join(tmpdir(), 'tapdisk-ts-xen-'));
    return new XenRig(await FakeXenstored.listen(directory), directory, options);
  }

  async dispose(): Promise<void> {
    for (const frontend of this.frontends) await this.end(frontend);
    await this.xenstored.close();
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** Both directories, as a toolstack makes them. */
  toolstack(nodes: Readonly<Record<string, string>> = {}): void {
    this.xenstored.writeAll(FRONT, { ...TOOLSTACK_FRONT, state: '1' });
    this.xenstored.writeAll(BACK, { ...TOOLSTACK_BACK, ...nodes, state: nodes.state ?? '1' });
  }

  /** A process begins to serve. */
  start(domid = DOMID, backEnd = BACK): XenFrontend {
    const frontend = XenFrontend.open(
      { backEnd, domid, journalDirectory: this.directory },
      this.disk,
      {
        onStopped: (reason) => this.stops.push(reason),
        onCloseAsked: () => void this.closesAsked++,
        onNote: (_, sentence) => this.notes.push(sentence),
      },
      () => this.host(),
      this.grants,
    );
    this.frontends.push(frontend);
    frontend.start();
    return frontend;
  }

  /** A process ends: in order, or rather as one that is killed, whose rings are let go of by the kernel. */
  async end(frontend: XenFrontend): Promise<void> {
    this.frontends = this.frontends.filter((one) => one !== frontend);
    for (const rings of this.opened) rings.closeError = null;
    await frontend.close();
    await frontend.afterRelease();
  }

  /** Toolstack, process and guest, up to the state in which requests flow. */
  async connected(guest: Readonly<Record<string, string>> = ONE_PAGE): Promise<XenFrontend> {
    this.toolstack();
    const frontend = this.start();
    await this.backIs('2');
    this.back('hotplug-status', 'connected');
    this.guest({ ...guest, state: '3' });
    await this.backIs('4');
    this.guest({ state: '4' });
    return frontend;
  }

  /** Writes nodes of the front end, in their order. */
  guest(nodes: Readonly<Record<string, string>>): void {
    this.xenstored.writeAll(FRONT, nodes);
  }

  /** Writes a node of the back end, as the toolstack. */
  back(name: string, value: string): void {
    this.xenstored.write(`${BACK}/${name}`, value);
  }

  read(name: string): string | undefined {
    return this.xenstored.read(`${BACK}/${name}`);
  }

  get rings(): FakeRings {
    const last = this.opened.at(-1);
    if (last === undefined) throw new Error('no rings were opened');
    return last;
  }

  backIs(state: string): Promise<void> {
    return until(() => this.read('state') === state, `the back end is in ${state}`);
  }

  /** Resolves when nothing more happens of what was begun. */
  async settled(): Promise<void> {
    let before = -1;
    let now = this.requests();
    while (before !== now) {
      await new Promise((resolve) => setTimeout(resolve, 25));
      before = now;
      now = this.requests();
    }
  }

  private requests(): number {
    return [...this.xenstored.requests.values()].reduce((sum, count) => sum + count, 0);
  }

  private host(): XenHost {
    const env = { XENSTORED_PATH: this.xenstored.path };
    return {
      steadyMemory: [],
      openStore: (options) => openXenStore({ ...options, env }),
      openRings: (address, device, events) => {
        const guest = this.realGuest;
        if (guest === null) return this.openRings(address, device, events.onStopped);
        return openXenRings(address, device, events, guest.system, guest.events.watch);
      },
      close: () => void this.hostsClosed++,
    };
  }

  private openRings(
    address: XenRingsAddress,
    device: BlockDevice,
    onStopped: (reason: TapdiskError) => void,
  ): FakeRings {
    if (this.openError !== null) {
      this.openFailures++;
      throw this.openError;
    }
    const rings = new FakeRings(address, device, onStopped);
    this.opened.push(rings);
    return rings;
  }
}

/** Resolves when `is` says so; fails after a time that no working machine takes. */
export async function until(is: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + WAIT_MS_MAX;
  while (!is()) {
    if (performance.now() > deadline) throw new Error(`never came: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}
