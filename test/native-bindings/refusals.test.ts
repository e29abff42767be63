/** What is refused where this host, or its installation, lacks something. */
import { openIoEngine } from '../../native-bindings/open-engine';
import { thrownBy } from './thrown-by';

const ignore = (): void => undefined;

test('an I/O engine that does not exist', () => {
  process.env.TAPDISK_TS_IO_ENGINE = 'carrier-pigeon';
  try {
    expect(thrownBy(() => openIoEngine(ignore, ignore))).toMatchObject({
      code: 'IO_ENGINE_UNKNOWN',
      message: expect.stringContaining("'carrier-pigeon'") as string,
    });
  } finally {
    delete process.env.TAPDISK_TS_IO_ENGINE;
  }
});

test('an installation without ffi-napi', () => {
  jest.doMock('ffi-napi', () => {
    throw new Error('Cannot find module');
  });
  jest.isolateModules(() => {
    type Libc = typeof import('../../native-bindings/libc');
    // Loaded here, so that it meets the missing module.
    // eslint-disable-next-line @typescript-eslint/no-require-imports
    const { libc } = require('../../native-bindings/libc') as Libc;
    expect(thrownBy(libc)).toMatchObject({
      code: 'FFI_MISSING',
      message: expect.stringContaining('make deps') as string,
    });
  });
});
