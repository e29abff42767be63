/** The engines, and which is picked. */
import { UringEngine } from '../../native-bindings/uring-engine';
import { openIoEngine } from '../../native-bindings/open-engine';
import { describeWhere } from '../where';
import { describeEngine } from './engine-contract';
import { requireAddon } from './require-addon';

const ignore = (): void => undefined;

function uringAbsence(): string | null {
  const engine = UringEngine.open(requireAddon(), ignore, ignore);
  if (typeof engine === 'string') return engine;
  engine.close();
  return null;
}

describeWhere(uringAbsence(), 'the io_uring engine')('io_uring', () => describeEngine('io_uring'));
describe('threads', () => describeEngine('threads'));

describe('the choice', () => {
  const variable = 'TAPDISK_TS_IO_ENGINE';
  afterEach(() => {
    delete process.env[variable];
  });

  test('is what the environment says, before what is asked for', () => {
    process.env[variable] = 'threads';
    const engine = openIoEngine(ignore, ignore, 'io_uring');
    expect(engine.kind).toBe('threads');
    expect(engine.reason).toBe('threads were asked for');
    engine.close();
  });

  test('an unknown engine is refused', () => {
    process.env[variable] = 'carrier-pigeon';
    expect(() => openIoEngine(ignore, ignore)).toThrow(
      "TAPDISK_TS_IO_ENGINE is 'carrier-pigeon', which is no engine; set it to io_uring or threads",
    );
  });

  test('io_uring that the kernel refuses becomes threads, with the reason', () => {
    const addon = requireAddon();
    const reasons: Record<number, RegExp> = {
      1: /forbidden/,
      12: /ulimit -l/,
      38: /no io_uring/,
      24: /EMFILE/,
    };
    for (const [errno, reason] of Object.entries(reasons)) {
      const refusing = { ...addon, ringSetup: () => -Number(errno) };
      expect(UringEngine.open(refusing, ignore, ignore)).toMatch(reason);
    }
  });
});
