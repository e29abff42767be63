/** How a command takes a volume that it looks up in its pool: `tapdisk-ts info main/disk1`. */
import { parseVolumeAddress } from '../pool/address';

export const VOLUME_OPTION = {
  type: 'string',
  demandOption: true,
  describe: 'POOL/VOLUME',
  coerce: parseVolumeAddress,
} as const;
