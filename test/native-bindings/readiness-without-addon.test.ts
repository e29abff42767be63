/** Watches without the addon. */
import './without-addon';
import { addon, addonAbsence } from '../../native-bindings/addon';
import { describeReadiness } from './readiness-contract';

test('the addon is not there, with the reason', () => {
  expect(addon()).toBeNull();
  expect(addonAbsence()).toBe('TAPDISK_TS_NO_ADDON is set');
});

describe('watches without the addon', describeReadiness);
