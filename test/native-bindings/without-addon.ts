/** Imported first by tests of the way without the addon: forbids it to this test file. */
process.env.TAPDISK_TS_NO_ADDON = '1';
