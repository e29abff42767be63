/** Which paths are a back end's directory, and which lie below one. */
import { backEnd, backEndAt, parseBackEndPath } from '../../lib/xenstore/back-end-path';

const XVDA = backEnd('vbd', 5, 51712);

test.each(['', '/', '/state', '/queue-0/x'])('a change at the directory%s is its own', (below) => {
  expect(backEndAt(`backend/vbd/5/51712${below}`)).toEqual(XVDA);
  expect(backEndAt(`/local/domain/0/backend/vbd/5/51712${below}`)).toEqual(XVDA);
});

test.each([
  ['backend/vbd/5'],
  ['backend/vif/5/0'],
  ['backend/vbd/5/51712x'],
  ['x/backend/vbd/5/51712'],
  ['/local/domain/7/backend/vbd/5/51712'],
])('%s is no back end of this host', (path) => expect(backEndAt(path)).toBeNull());

test('a directory is parsed as it was given, also another domain’s', () => {
  for (const home of ['', '/local/domain/0/', '/local/domain/7/']) {
    const path = `${home}backend/vbd/5/51712`;
    expect(parseBackEndPath(path)).toEqual({ ...XVDA, path });
  }
  expect(parseBackEndPath('backend/tap/5/51712').key).toBe('tap-5-51712');
  expect(parseBackEndPath('backend/vbd/32751/4294967295').devid).toBe(4294967295);
});

test.each([
  'backend/vbd/5',
  'backend/vbd/5/51712/',
  'backend/vbd/5/51712/state',
  'backend/vbd/32752/51712',
  'backend/vbd/5/4294967296',
])('XEN_PATH_INVALID: %s is no directory that a process can be given', (path) => {
  expect(() => parseBackEndPath(path)).toThrow(
    expect.objectContaining({ code: 'XEN_PATH_INVALID' }) as Error,
  );
});
