/** `POOL/VOLUME`, the way a volume is addressed everywhere. */
import { checkName } from '../coordination/name';
import { TapdiskError } from '../errors';

export interface VolumeAddress {
  readonly pool: string;
  readonly volume: string;
}

/** @throws TapdiskError ADDRESS_INVALID or NAME_INVALID */
export function parseVolumeAddress(text: string): VolumeAddress {
  const parts = text.split('/');
  if (parts.length !== 2) {
    throw new TapdiskError(
      'ADDRESS_INVALID',
      `${JSON.stringify(text.slice(0, 300))} is not a volume's address; write POOL/VOLUME, for example main/disk1`,
    );
  }
  return { pool: checkName('pool', parts[0]), volume: checkName('volume', parts[1]) };
}
