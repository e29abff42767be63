import { formatDiskPath, parseDiskPath } from '../../lib/tapdisk/disk-path';

const RING = 'backend/vbd/5/51712';

test.each([
  ['main/disk1', { path: 'main/disk1', mode: 'attach', xenBackend: null }],
  ['main/disk1?wait', { path: 'main/disk1', mode: 'wait', xenBackend: null }],
  ['main/disk1?steal', { path: 'main/disk1', mode: 'steal', xenBackend: null }],
  [`main/disk1?xen=${RING}`, { path: 'main/disk1', mode: 'attach', xenBackend: RING }],
  [`main/disk1?wait&xen=${RING}`, { path: 'main/disk1', mode: 'wait', xenBackend: RING }],
  [`main/disk1?steal&xen=${RING}`, { path: 'main/disk1', mode: 'steal', xenBackend: RING }],
] as const)('%s', (text, parsed) => {
  expect(parseDiskPath(text)).toEqual(parsed);
  expect(formatDiskPath(parsed)).toBe(text);
});

test.each([
  'main/disk1?other',
  'main/disk1?',
  'main/disk1?xen=',
  `main/disk1?xen=${RING}&wait`,
  `main/disk1?waitxen=${RING}`,
  `main/disk1?&xen=${RING}`,
  `main/disk1?xen=${RING}?steal`,
  'main/disk1?wait?steal',
])('%s is no suffix, so the name has a question mark and is refused', (text) => {
  expect(parseDiskPath(text)).toEqual({ path: text, mode: 'attach', xenBackend: null });
});

test('a disk whose ring is a device need not say so', () => {
  expect(formatDiskPath({ path: 'main/disk1', mode: 'wait' })).toBe('main/disk1?wait');
});
