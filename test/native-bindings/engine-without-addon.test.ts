/** The engine without the addon. */
import './without-addon';
import { openIoEngine } from '../../native-bindings/open-engine';
import { describeEngine } from './engine-contract';

test('without the addon it is threads, and says why', () => {
  const engine = openIoEngine(
    () => undefined,
    () => undefined,
    'io_uring',
  );
  expect(engine.kind).toBe('threads');
  expect(engine.reason).toBe('the native addon is not there: TAPDISK_TS_NO_ADDON is set');
  engine.close();
});

describe('threads without the addon', () => describeEngine('threads'));
