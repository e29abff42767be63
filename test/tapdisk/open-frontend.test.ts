/** A disk's process loads the front end of its own disk; one that was started ahead, all. */
import type * as OpenFrontend from '../../lib/tapdisk/open-frontend';

let frontends: typeof OpenFrontend;

beforeEach(() => {
  jest.resetModules();
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- an import would load it once for all tests, and each looks at what a fresh one loads
  frontends = require('../../lib/tapdisk/open-frontend') as typeof OpenFrontend;
});

function forbid(module: string): void {
  jest.doMock(module, () => {
    throw new Error(`${module} was loaded`);
  });
}

const XEN = '../../lib/tapdisk/open-xen-frontend';
const DEVICE = '../../lib/tapdisk/open-device-frontend';

test('a disk on a device has no Xen front end', () => {
  forbid(XEN);
  expect(frontends.loadFrontend(null)).toBeInstanceOf(Function);
  expect(() => frontends.loadFrontend('backend/vbd/5/51712')).toThrow(`${XEN} was loaded`);
  expect(() => frontends.loadFrontends()).toThrow(`${XEN} was loaded`);
});

test("a disk in a guest's memory has no front end of devices", () => {
  jest.dontMock(XEN);
  forbid(DEVICE);
  expect(frontends.loadFrontend('backend/vbd/5/51712')).toBeInstanceOf(Function);
  expect(() => frontends.loadFrontend(null)).toThrow(`${DEVICE} was loaded`);
  expect(() => frontends.loadFrontends()).toThrow(`${DEVICE} was loaded`);
});
