/** How data is moved, as the environment says it. */
import { askedGrantUse, GRANT_USE_DEFAULT } from '../../../lib/frontend/xen/grant-use';
import { refusal } from '../refusal';

describe('TAPDISK_TS_XEN_GRANTS', () => {
  const before = process.env.TAPDISK_TS_XEN_GRANTS;
  afterEach(() => {
    if (before === undefined) delete process.env.TAPDISK_TS_XEN_GRANTS;
    else process.env.TAPDISK_TS_XEN_GRANTS = before;
  });

  test.each(['persistent', 'copy'])('%s', (text) => {
    process.env.TAPDISK_TS_XEN_GRANTS = text;
    expect(askedGrantUse()).toBe(text);
  });

  test('has a default', () => {
    delete process.env.TAPDISK_TS_XEN_GRANTS;
    expect(askedGrantUse()).toBe(GRANT_USE_DEFAULT);
    process.env.TAPDISK_TS_XEN_GRANTS = '';
    expect(askedGrantUse()).toBe(GRANT_USE_DEFAULT);
  });

  test.each(['map', 'Persistent', '1'])('%s is refused', (text) => {
    process.env.TAPDISK_TS_XEN_GRANTS = text;
    expect(refusal(askedGrantUse)).toEqual({
      code: 'XEN_GRANTS_UNKNOWN',
      message: `TAPDISK_TS_XEN_GRANTS is '${text}', which means nothing; set it to persistent or copy`,
    });
  });
});
