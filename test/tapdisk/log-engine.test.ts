/** What the log says of the way that transfers take. */
import { logEngine } from '../../lib/tapdisk/log-engine';

function linesOf(store: Readonly<Record<string, unknown>>): [string, object, string][] {
  const lines: [string, object, string][] = [];
  const note =
    (level: string) =>
    (fields: object, sentence: string): void => {
      lines.push([level, fields, sentence]);
    };
  logEngine({ info: note('info'), warn: note('warn'), error: note('error') }, 'main/disk1', store);
  return lines;
}

test('names io_uring', () => {
  expect(linesOf({ engine: 'io_uring', engineReason: null })).toEqual([
    ['info', expect.objectContaining({ engine: 'io_uring' }), expect.any(String)],
  ]);
});

test('warns of threads with the reason and the cost', () => {
  const [[level, fields, sentence]] = linesOf({ engine: 'threads', engineReason: 'EPERM: no' });
  expect([level, fields]).toEqual(['warn', expect.objectContaining({ code: 'IO_ENGINE_SLOW' })]);
  expect(sentence).toContain('EPERM: no');
  expect(sentence).toMatch(/0\.4 .* seven times/);
});

test('says nothing of a store without an engine', () => {
  expect(linesOf({ kind: 'memory' })).toEqual([]);
});
