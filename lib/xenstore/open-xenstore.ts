/** Finds xenstore on this machine and connects to it. */
import path from 'node:path';
import { errnoOf, sentenceOf } from '../errors';
import { XenStoreConnection } from './connection';
import { openDevice } from './device-transport';
import { connectSocket } from './socket-transport';
import type { Transport } from './transport';
import { XenStoreClient } from './xenstore-client';
import { XenStoreError } from './xenstore-error';
import type { XenStore } from './xenstore';

export interface OpenXenStoreOptions {
  /** Where XENSTORED_PATH and XENSTORED_RUNDIR are looked for; this process's unless told. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Told once when the connection is lost, after everything pending has rejected. */
  readonly onLost?: (reason: XenStoreError) => void;
  readonly answerTimeoutMs?: number;
}

/** Of Linux: /dev since 2.6.39, /proc/xen where xenfs is mounted. */
const DEVICES = ['/dev/xen/xenbus', '/proc/xen/xenbus'];

const RUN_DIRECTORY = '/run/xenstored';

/**
 * Connects to xenstored's socket: XENSTORED_PATH, else `socket` in XENSTORED_RUNDIR, else
 * /run/xenstored/socket; where nobody listens there and none was named, to the kernel's device.
 *
 * @throws XenStoreError XENSTORE_UNAVAILABLE with what was tried
 */
export async function openXenStore(options: OpenXenStoreOptions = {}): Promise<XenStore> {
  const transport = await connect(options.env ?? process.env);
  const onLost = options.onLost ?? (() => undefined);
  return new XenStoreClient(new XenStoreConnection(transport, onLost, options.answerTimeoutMs));
}

async function connect(env: Readonly<Record<string, string | undefined>>): Promise<Transport> {
  const named = env['XENSTORED_PATH'];
  const socketPath = named || path.join(env['XENSTORED_RUNDIR'] || RUN_DIRECTORY, 'socket');
  const tried: string[] = [];
  const note = (place: string, error: unknown): void => {
    tried.push(`${place}: ${errnoOf(error) ?? sentenceOf(error)}`);
  };
  try {
    return await connectSocket(socketPath);
  } catch (error) {
    note(socketPath, error);
  }
  for (const device of named ? [] : DEVICES) {
    try {
      return openDevice(device);
    } catch (error) {
      note(device, error);
    }
  }
  throw new XenStoreError(
    'XENSTORE_UNAVAILABLE',
    `xenstore cannot be reached (${tried.join('; ')}); is this a Xen host with xenstored running, and are you root?`,
    undefined,
    { transient: true },
  );
}
