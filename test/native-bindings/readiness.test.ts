/** Watches through the addon. */
import { describeReadiness } from './readiness-contract';
import { requireAddon } from './require-addon';

test('the addon is built', () => {
  expect(requireAddon()).toBeDefined();
});

describe('watches with the addon', describeReadiness);
