/** What can be listened on, and how it is written. */
import {
  exportUri,
  isLoopback,
  parseListenAddress,
} from '../../../lib/frontend/nbd/listen-address';

test.each([
  ['unix:/run/nbd.sock', { kind: 'unix', path: '/run/nbd.sock' }],
  ['tcp:127.0.0.1:10809', { kind: 'tcp', host: '127.0.0.1', port: 10809 }],
  ['tcp:localhost:0', { kind: 'tcp', host: 'localhost', port: 0 }],
  ['tcp:[::1]:65535', { kind: 'tcp', host: '::1', port: 65535 }],
])('%s is understood', (text, address) => {
  expect(parseListenAddress(text)).toEqual(address);
});

test.each([
  '',
  'unix:',
  'tcp:10809',
  'tcp:host:',
  'tcp:host:65536',
  'tcp:::1:10809',
  'tcp:a b:1',
  'http://host:1',
  `unix:/${'d'.repeat(107)}`,
])('%j is refused', (text) => {
  expect(() => parseListenAddress(text)).toThrow(
    expect.objectContaining({ code: 'NBD_LISTEN_INVALID' }) as Error,
  );
});

test.each([
  ['127.0.0.1', true],
  ['127.255.0.9', true],
  ['::1', true],
  ['0.0.0.0', false],
  ['::', false],
  ['128.0.0.1', false],
  ['localhost', false],
])('%s is the loopback: %s', (address, expected) => {
  expect(isLoopback(address)).toBe(expected);
});

test.each([
  [{ kind: 'unix', path: '/run/a b?.sock' }, false, 'nbd+unix:///p/v?socket=/run/a%20b%3F.sock'],
  [{ kind: 'tcp', host: '::1', port: 1 }, true, 'nbds://[::1]:1/p/v'],
] as const)('%j is told as a URI', (address, tls, uri) => {
  expect(exportUri(address, tls, 'p/v')).toBe(uri);
});
