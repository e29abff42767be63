/** Watches without the addon. */
import './without-addon';
import { addon, addonAbsence, requireAddon } from '../../native-bindings/addon';
import { describeReadiness } from './readiness-contract';
import { thrownBy } from './thrown-by';

test('the addon is refused, with the reason', () => {
  expect(addon()).toBeNull();
  expect(addonAbsence()).toBe('TAPDISK_TS_NO_ADDON is set');
  expect(thrownBy(requireAddon)).toMatchObject({
    code: 'ADDON_MISSING',
    message: 'the native addon is not there: TAPDISK_TS_NO_ADDON is set',
  });
});

describe('watches without the addon', describeReadiness);
