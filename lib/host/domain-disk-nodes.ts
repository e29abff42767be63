/** The nodes of a domain's disk, on both sides, as libxl writes and removes them. */
import { TapdiskError } from '../errors';
import type { BackEndPath } from '../xenstore/back-end-path';
import { writeNodes } from '../xenstore/directory';
import {
  XENBUS_CLOSED,
  XENBUS_CLOSING,
  XENBUS_INITIALISING,
  xenbusStateOf,
} from '../xenstore/xenbus-state';
import type { XenStore } from '../xenstore/xenstore';
import type { Domain } from './domains';
import { HOTPLUG_SCRIPT } from './named-volume';

export interface DomainDisk {
  readonly domain: Domain;
  readonly backEnd: BackEndPath;
  /** `xvdb` */
  readonly device: string;
  /** "pool/volume" */
  readonly volume: string;
  readonly readOnly: boolean;
}

/** Where xl's own commands look for the script; it is run when xl takes the disk away. */
const SCRIPT = `/etc/xen/scripts/${HOTPLUG_SCRIPT}`;

export function frontEndPath({ domid, devid }: BackEndPath): string {
  return `/local/domain/${domid}/device/vbd/${devid}`;
}

/** xl finds the disk by it, and takes it away with its domain. */
function libxlPath({ domid, devid }: BackEndPath): string {
  return `/libxl/${domid}/device/vbd/${devid}`;
}

/**
 * Makes both sides in one transaction, in state Initialising: both drivers begin then.
 *
 * @throws TapdiskError DOMAIN_DISK_EXISTS
 */
export async function makeDomainDisk(store: XenStore, disk: DomainDisk): Promise<void> {
  const { backEnd, domain, device } = disk;
  const { domid } = backEnd;
  await store.transaction(async (inside) => {
    const own = Number((await inside.read('domid')) ?? '0');
    const back = `/local/domain/${own}/${backEnd.path}`;
    const front = frontEndPath(backEnd);
    if ((await inside.read(front)) !== undefined || (await inside.read(back)) !== undefined) {
      throw new TapdiskError(
        'DOMAIN_DISK_EXISTS',
        `Domain ${domain.name} has a disk ${device} already; choose another --device.`,
      );
    }
    // Who owns a directory may read and write in it; those below take over its permissions.
    await inside.mkdir(front);
    await inside.setPermissions(front, [`n${domid}`, `r${own}`]);
    await inside.mkdir(back);
    await inside.setPermissions(back, [`n${own}`, `r${domid}`]);
    await writeNodes(inside, front, {
      backend: back,
      'backend-id': String(own),
      state: String(XENBUS_INITIALISING),
      'virtual-device': String(backEnd.devid),
      'device-type': 'disk',
    });
    const backNodes = backEndNodes(disk);
    await writeNodes(inside, back, { frontend: front, ...backNodes });
    if ((await inside.read(`/libxl/${domid}`)) !== undefined) {
      await writeNodes(inside, libxlPath(backEnd), {
        frontend: front,
        backend: back,
        ...backNodes,
      });
    }
  });
}

function backEndNodes({ backEnd, device, volume, readOnly }: DomainDisk): Record<string, string> {
  return {
    'frontend-id': String(backEnd.domid),
    online: '1',
    removable: '0',
    bootable: '1',
    state: String(XENBUS_INITIALISING),
    dev: device,
    type: 'phy',
    mode: readOnly ? 'r' : 'w',
    'device-type': 'disk',
    'discard-enable': '1',
    params: volume,
    script: SCRIPT,
    // The part of the script is done by whoever waits for the disk.
    'hotplug-status': 'connected',
  };
}

/** Asks both drivers to let go. False: the directory is gone already. */
export function closeDomainDisk(store: XenStore, { path }: BackEndPath): Promise<boolean> {
  return store.transaction(async (inside) => {
    const state = await inside.read(`${path}/state`);
    if (state === undefined) return false;
    await inside.write(`${path}/online`, '0');
    if (xenbusStateOf(state) !== XENBUS_CLOSED) {
      await inside.write(`${path}/state`, String(XENBUS_CLOSING));
    }
    return true;
  });
}

/** Removes both sides, and the domain's directory of back ends with its last. */
export function removeDomainDisk(store: XenStore, backEnd: BackEndPath): Promise<void> {
  return store.transaction(async (inside) => {
    const { path, kind, domid } = backEnd;
    for (const at of [frontEndPath(backEnd), path, libxlPath(backEnd)]) await inside.remove(at);
    const parent = `backend/${kind}/${domid}`;
    if ((await inside.list(parent))?.length === 0) await inside.remove(parent);
  });
}
