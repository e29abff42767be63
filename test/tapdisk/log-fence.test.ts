/** What the log says of stalls and losses. */
import { logFence } from '../../lib/tapdisk/log-fence';

test('has a line with a code for each', () => {
  const lines: [string, object, string][] = [];
  const note =
    (level: string) =>
    (fields: object, sentence: string): void => {
      lines.push([level, fields, sentence]);
    };
  const log = { info: note('info'), warn: note('warn'), error: note('error') };
  const observer = logFence(log, 'main/disk1');
  observer.stalled();
  observer.resumed(2140);
  observer.lost();
  const volume = 'main/disk1';
  expect(lines).toEqual([
    ['warn', { volume, code: 'VOLUME_STALLED' }, expect.stringContaining('not confirmed')],
    [
      'info',
      { volume, code: 'VOLUME_RESUMED', stalledMs: 2140 },
      'requests of main/disk1 go on after 2140 ms',
    ],
    ['error', { volume, code: 'VOLUME_LOST' }, expect.stringContaining('detach it')],
  ]);
});
