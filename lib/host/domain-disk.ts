/** Gives a running domain a disk, and takes it away, without a toolstack. */
import { setTimeout as delay } from 'node:timers/promises';
import { processIsAlive } from '../control/process-alive';
import { TapdiskError } from '../errors';
import type { BackEndPath } from '../xenstore/back-end-path';
import { XENBUS_CLOSED, XENBUS_CONNECTED, xenbusStateOf } from '../xenstore/xenbus-state';
import type { XenStore } from '../xenstore/xenstore';
import { awaitNodes } from './await-nodes';
import { PID_NODE } from './back-end-nodes';
import {
  closeDomainDisk,
  type DomainDisk,
  frontEndPath,
  makeDomainDisk,
  removeDomainDisk,
} from './domain-disk-nodes';
import {
  DOMAIN_ATTACH_TIMEOUT_MS,
  DOMAIN_DETACH_TIMEOUT_MS,
  PROCESS_END_CHECK_MS,
  PROCESS_END_TIMEOUT_MS,
} from './limits';

/**
 * Makes the disk's nodes and waits until the domain has it; resolves to the pid of the process that
 * serves it. Where it rejects, the nodes are gone again.
 *
 * @throws TapdiskError DOMAIN_DISK_EXISTS, DOMAIN_DISK_REFUSED (the daemon's reason),
 * DOMAIN_DISK_TIMEOUT
 */
export async function attachDomainDisk(
  store: XenStore,
  disk: DomainDisk,
  timeoutMs = DOMAIN_ATTACH_TIMEOUT_MS,
): Promise<number> {
  const { backEnd, domain, device } = disk;
  await makeDomainDisk(store, disk);
  try {
    const connected = await awaitNodes(
      store,
      [backEnd.path, frontEndPath(backEnd)],
      () => connectedPid(store, backEnd),
      timeoutMs,
    );
    if (connected !== undefined) return connected;
    throw new TapdiskError(
      'DOMAIN_DISK_TIMEOUT',
      `Domain ${domain.name} has not taken ${device} within ${timeoutMs / 1000} s; is it running, ` +
        'with the driver xen-blkfront?',
    );
  } catch (error) {
    await takeAway(store, backEnd, DOMAIN_DETACH_TIMEOUT_MS).catch(() => false);
    await removeDomainDisk(store, backEnd);
    throw error;
  }
}

/**
 * Asks the domain to let go of the disk, waits until its process has ended, and removes the nodes.
 *
 * @throws TapdiskError DOMAIN_DISK_BUSY where the domain still uses it: then it is served on until
 * the domain lets go, and the call may be repeated
 */
export async function detachDomainDisk(
  store: XenStore,
  backEnd: BackEndPath,
  timeoutMs = DOMAIN_DETACH_TIMEOUT_MS,
): Promise<void> {
  if (!(await takeAway(store, backEnd, timeoutMs))) {
    throw new TapdiskError(
      'DOMAIN_DISK_BUSY',
      `Domain ${backEnd.domid} has not let go of its disk ${backEnd.devid} within ` +
        `${timeoutMs / 1000} s; unmount it there, then detach it again.`,
    );
  }
  await removeDomainDisk(store, backEnd);
}

/** False: the domain has not let go in time. */
async function takeAway(
  store: XenStore,
  backEnd: BackEndPath,
  timeoutMs: number,
): Promise<boolean> {
  const { path } = backEnd;
  const pid = Number((await store.read(`${path}/${PID_NODE}`)) ?? '0');
  if (pid > 0 && (await closeDomainDisk(store, backEnd))) {
    const isClosed = async (): Promise<true | undefined> => {
      const state = await store.read(`${path}/state`);
      return state === undefined || xenbusStateOf(state) === XENBUS_CLOSED ? true : undefined;
    };
    if ((await awaitNodes(store, [path], isClosed, timeoutMs)) === undefined) return false;
  }
  const deadlineMs = performance.now() + PROCESS_END_TIMEOUT_MS;
  while (pid > 0 && processIsAlive(pid) && performance.now() < deadlineMs) {
    await delay(PROCESS_END_CHECK_MS);
  }
  return true;
}

/** @throws TapdiskError DOMAIN_DISK_REFUSED */
async function connectedPid(store: XenStore, backEnd: BackEndPath): Promise<number | undefined> {
  const { path } = backEnd;
  const [refusal, error, state, guest, pid] = await Promise.all([
    store.read(`${path}/hotplug-error`),
    store.read(`${path}/error`),
    store.read(`${path}/state`),
    store.read(`${frontEndPath(backEnd)}/state`),
    store.read(`${path}/${PID_NODE}`),
  ]);
  const reason = refusal ?? error;
  if (reason !== undefined) throw new TapdiskError('DOMAIN_DISK_REFUSED', reason);
  const isConnected = [state, guest].every((text) => xenbusStateOf(text) === XENBUS_CONNECTED);
  return isConnected && pid !== undefined ? Number(pid) : undefined;
}
