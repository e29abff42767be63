/** Gives a volume another size: by the process that has it, or here where nobody has. */
import type { NewSize } from '../../control/disk-host';
import { callProcess, listRunning } from '../../control/socket-client';
import { checkGeometry } from '../../coordination/volume-geometry';
import type { AttachOwner } from '../../coordination/volume-record';
import { TapdiskError } from '../../errors';
import type { VolumeAddress } from '../../pool/address';
import { openPool } from '../../pool/open-pool';
import { ServedVolume } from '../../tapdisk/served-volume';

export interface ResizeRequest {
  readonly address: VolumeAddress;
  readonly size: NewSize;
  readonly allowShrink: boolean;
  readonly env: Readonly<Record<string, string | undefined>>;
}

export interface ResizedVolume {
  readonly beforeBytes: number;
  readonly sizeBytes: number;
  /** Of the process that serves it; null where nobody does. */
  readonly pid: number | null;
  readonly guestTold: boolean;
}

/**
 * @throws TapdiskError RESIZE_ELSEWHERE, SHRINK_NOT_ALLOWED, SHRINK_ATTACHED, VOLUME_ATTACHED, and
 * those of ServedVolume.resize
 */
export async function resizeVolume(request: ResizeRequest): Promise<ResizedVolume> {
  const { address, size, env } = request;
  const owner = await ownerOf(request);
  if (owner === null) return resizeDetached(request);
  const { pid } = owner;
  const { socketPath, cookie } = await findOwner(`${address.pool}/${address.volume}`, owner, env);
  return { ...(await callProcess(socketPath, 'resize', { cookie, size })), pid };
}

async function ownerOf({ address, env }: ResizeRequest): Promise<AttachOwner | null> {
  const pool = await openPool(address.pool, { env });
  try {
    return await pool.coordination.owner(address.volume);
  } finally {
    await pool.close();
  }
}

/** Attached as for a guest, since whoever had it before may not have given it back. */
async function resizeDetached(request: ResizeRequest): Promise<ResizedVolume> {
  const { address, size, allowShrink, env } = request;
  const path = `${address.pool}/${address.volume}`;
  const served = await ServedVolume.open({ path, readOnly: false, env });
  try {
    if (!allowShrink && 'toBytes' in size) {
      const { sizeBytes, chunkBytes } = served.record;
      checkGeometry(size.toBytes, chunkBytes);
      if (size.toBytes < sizeBytes) throw notAllowed(path, sizeBytes, size.toBytes);
    }
    return { ...(await served.resize(size, true)), pid: null, guestTold: false };
  } finally {
    await served.close();
  }
}

/** Its control socket is on its host, and its user's. */
async function findOwner(
  path: string,
  owner: AttachOwner,
  env: ResizeRequest['env'],
): Promise<{ socketPath: string; cookie: number }> {
  for (const { pid, socketPath, disks } of await listRunning(env)) {
    if (pid !== owner.pid) continue;
    const disk = disks.find(({ volume, state }) => volume === path && state !== 'standby');
    if (disk !== undefined) return { socketPath, cookie: disk.cookie };
  }
  throw new TapdiskError(
    'RESIZE_ELSEWHERE',
    `${path} is attached by process ${owner.pid} on host ${owner.host}, which is no running process ` +
      'of yours here; run tapdisk-ts resize there, as the user who attached it, or detach it first',
  );
}

function notAllowed(path: string, beforeBytes: number, sizeBytes: number): TapdiskError {
  return new TapdiskError(
    'SHRINK_NOT_ALLOWED',
    `${path} has ${beforeBytes} bytes, and of ${sizeBytes} the rest would be lost for good; make ` +
      'the file system in it smaller first, then say --allow-shrink',
  );
}
