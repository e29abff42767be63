/** Watches through the addon. */
import { requireAddon } from '../../native-bindings/addon';
import { describeReadiness } from './readiness-contract';

test('the addon is built', () => {
  expect(requireAddon()).toBeDefined();
});

describe('watches with the addon', describeReadiness);
