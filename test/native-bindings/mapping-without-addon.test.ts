/** Mappings without the addon. */
import './without-addon';
import { describeMapping } from './mapping-contract';

describe('mappings without the addon', () => describeMapping({ TAPDISK_TS_NO_ADDON: '1' }));
