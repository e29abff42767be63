/** How requests' data is moved between a guest's pages and this process. */
import { TapdiskError } from '../../errors';

/**
 * `persistent`: by plain copies from and to pages that stay mapped, where the front end keeps its
 * grants for that; what is not mapped by grant copy. `copy`: all by grant copy.
 */
export type GrantUse = 'persistent' | 'copy';

/** What is done where nobody says otherwise. */
export const GRANT_USE_DEFAULT: GrantUse = 'copy';

/**
 * TAPDISK_TS_XEN_GRANTS, else the default.
 *
 * @throws TapdiskError XEN_GRANTS_UNKNOWN
 */
export function askedGrantUse(): GrantUse {
  const text = process.env.TAPDISK_TS_XEN_GRANTS ?? '';
  if (text === '') return GRANT_USE_DEFAULT;
  if (text === 'persistent' || text === 'copy') return text;
  throw new TapdiskError(
    'XEN_GRANTS_UNKNOWN',
    `TAPDISK_TS_XEN_GRANTS is '${text}', which means nothing; set it to persistent or copy`,
  );
}
