import { formatDiskPath, parseDiskPath } from '../../lib/tapdisk/disk-path';

test.each([
  ['main/disk1', { path: 'main/disk1', mode: 'attach' }],
  ['main/disk1?wait', { path: 'main/disk1', mode: 'wait' }],
  ['main/disk1?steal', { path: 'main/disk1', mode: 'steal' }],
  ['main/disk1?other', { path: 'main/disk1?other', mode: 'attach' }],
] as const)('%s', (text, parsed) => {
  expect(parseDiskPath(text)).toEqual(parsed);
  expect(formatDiskPath(parsed)).toBe(text);
});
