/** ref-napi for test files, see environment.js. */
'use strict';
module.exports = globalThis.requireOutside('ref-napi');
