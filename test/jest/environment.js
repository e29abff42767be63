/**
 * Lets test files share one ffi-napi.
 *
 * Jest loads a package's JavaScript anew for each test file, and ffi-napi then initialises its
 * native half a second time, which puts the same libuv handle twice into the loop's list: the loop
 * spins for ever. So ffi-napi and ref-napi are loaded outside of the test files' sandboxes, once.
 */
'use strict';
const { TestEnvironment } = require('jest-environment-node');

module.exports = class extends TestEnvironment {
  async setup() {
    await super.setup();
    this.global.requireOutside = require;
  }
};
