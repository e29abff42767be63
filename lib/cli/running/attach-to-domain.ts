/** `attach --domain`: gives a volume to a running domain as a disk. */
import { mustHaveDaemon } from '../../host/daemon-lock';
import { attachDomainDisk } from '../../host/domain-disk';
import { type Domain, findDomain } from '../../host/domains';
import { virtualDeviceNumber } from '../../host/virtual-device';
import type { VolumeAddress } from '../../pool/address';
import { backEnd } from '../../xenstore/back-end-path';
import { openXenStore } from '../../xenstore/open-xenstore';
import type { CommandContext } from '../command';
import { formatSize } from '../sizes';
import { withPool } from '../with-pool';

export interface DomainAttachRequest {
  readonly address: VolumeAddress;
  /** Name or number. */
  readonly domain: string;
  /** `xvdb` */
  readonly device: string;
  readonly readOnly: boolean;
}

/**
 * Resolves when the domain has the disk.
 *
 * @throws TapdiskError VIRTUAL_DEVICE_INVALID, DAEMON_NOT_RUNNING, POOL_NOT_FOUND,
 * VOLUME_NOT_FOUND, and those of findDomain and attachDomainDisk
 */
export async function attachToDomain(
  request: DomainAttachRequest,
  context: CommandContext,
): Promise<void> {
  const { address, device, readOnly } = request;
  const devid = virtualDeviceNumber(device);
  mustHaveDaemon(context.io.env);
  const { sizeBytes } = await withPool(address.pool, context, (pool) =>
    pool.coordination.read(address.volume),
  );
  const volume = `${address.pool}/${address.volume}`;
  const store = await openXenStore({ env: context.io.env });
  let domain: Domain;
  let pid: number;
  try {
    domain = await findDomain(store, request.domain);
    const at = backEnd('vbd', domain.domid, devid);
    pid = await attachDomainDisk(store, { domain, backEnd: at, device, volume, readOnly });
  } finally {
    store.close();
  }
  context.output.facts({ volume, domain, device, devid, pid, readOnly, sizeBytes }, [
    ['volume', volume],
    ['domain', `${domain.name} (${domain.domid})`],
    ['device', `${device} (${devid})`],
    ['pid', String(pid)],
    ['size', formatSize(sizeBytes)],
    ['mode', readOnly ? 'read-only' : 'read and write'],
  ]);
}
