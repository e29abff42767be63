/** Processes at a volume, as others see them and as a process describes itself. */
import { TapdiskError } from '../../errors';
import type { KeyValue } from '../../etcd/etcd';
import type { AttachOwner } from '../volume-record';
import type { EtcdContext } from './context';
import { decodeHolder, type Holder, type LastOwner } from './values';

/** A holder with the key that it holds. */
export interface SeenHolder {
  readonly key: string;
  readonly holder: Holder;
  readonly modRevision: number;
  readonly leaseId: string;
}

/** @throws TapdiskError ATTACH_HOLDER_CORRUPT, ATTACH_HOLDER_VERSION_UNKNOWN */
export function seenHolder(keyValue: KeyValue): SeenHolder {
  const { key, modRevision, leaseId } = keyValue;
  return { key, holder: decodeHolder(keyValue), modRevision, leaseId };
}

/** "host:pid", which names a standby. */
export const nameOf = ({ host, pid }: { host: string; pid: number }): string => `${host}:${pid}`;

/** This process as a holder, from now on. */
export function describeSelf(
  { host, clock }: EtcdContext,
  about: Pick<Holder, 'token' | 'volume' | 'readOnly' | 'epoch' | 'uncleanBefore' | 'leaseTtlMs'>,
): Holder {
  return { ...about, ...processOf(host), attachedAt: clock.date().toISOString() };
}

/** The process fields alone. */
export function processOf({
  host,
  bootId,
  pidNamespace,
  pid,
  startTime,
}: Omit<LastOwner, 'token'>): Omit<LastOwner, 'token'> {
  return { host, bootId, pidNamespace, pid, startTime };
}

export function ownerOf({ host, pid, readOnly, attachedAt }: Holder): AttachOwner {
  return { host, pid, readOnly, attachedAt };
}

export function attachedBy(volume: string, { host, pid }: Holder): TapdiskError {
  return new TapdiskError(
    'VOLUME_ATTACHED',
    `volume "${volume}" is attached by process ${pid} on host ${host}; detach it there first`,
    { transient: true },
  );
}
