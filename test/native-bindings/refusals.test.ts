/** What is refused where this host, or its installation, lacks something. */
import { libc } from '../../native-bindings/libc';
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
  // It is loaded at the first call, so that this is what it meets.
  jest.doMock('ffi-napi', () => {
    throw new Error('Cannot find module');
  });
  expect(thrownBy(libc)).toMatchObject({
    code: 'FFI_MISSING',
    message: expect.stringContaining('make deps') as string,
  });
});
