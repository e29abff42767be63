import { AssertionError } from '../../lib/assert';
import { exitCodeOf, reportFailure, UsageError } from '../../lib/cli/failure';
import type { CommandIo } from '../../lib/cli/io';
import { TapdiskError } from '../../lib/errors';

function report(
  error: unknown,
  { json = false, env = {} }: { json?: boolean; env?: Record<string, string> } = {},
): { exitCode: number; err: string } {
  let err = '';
  const io = { err: (text: string) => void (err += text), env } as unknown as CommandIo;
  return { exitCode: reportFailure(error, json, io), err };
}

it('a refusal is its sentence, and nothing of the code', () => {
  expect(report(new TapdiskError('VOLUME_NOT_FOUND', 'there is no volume "a"'))).toEqual({
    exitCode: 3,
    err: 'tapdisk-ts: there is no volume "a"\n',
  });
});

it('under --json it is an object with the code', () => {
  const { err } = report(new TapdiskError('POOL_NOT_EMPTY', 'pool "a" has volumes'), {
    json: true,
  });
  expect(JSON.parse(err)).toEqual({
    error: { code: 'POOL_NOT_EMPTY', message: 'pool "a" has volumes' },
  });
});

it.each([
  ['POOL_NOT_EMPTY', 1],
  ['SIZE_INVALID', 2],
  ['ADDRESS_INVALID', 2],
  ['POOL_NOT_FOUND', 3],
  ['VOLUME_EXISTS', 4],
  ['VOLUME_ATTACHED', 5],
  ['POOL_BUSY', 5],
  ['NO_SPACE', 7],
  ['MAP_CORRUPT', 8],
  ['VOLUME_RECORD_VERSION_UNKNOWN', 8],
])('%s ends with exit code %d', (code, exitCode) => {
  expect(exitCodeOf(code)).toBe(exitCode);
});

it('a wrong command line ends with exit code 2', () => {
  expect(report(new UsageError('name a command')).exitCode).toBe(2);
});

it('a system call that a user can do something about names the path, not the call', () => {
  const error = Object.assign(new Error("EACCES: permission denied, open '/x'"), {
    code: 'EACCES',
    path: '/x',
  });
  expect(report(error)).toEqual({ exitCode: 1, err: 'tapdisk-ts: /x: permission denied\n' });
  const full = Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' });
  expect(report(full)).toEqual({
    exitCode: 7,
    err: 'tapdisk-ts: no space left on the device\n',
  });
});

it.each([new TypeError('x is undefined'), new AssertionError('chunks are whole'), 'thrown'])(
  'a fault of the program is one sentence and exit code 70',
  (error) => {
    const { exitCode, err } = report(error);
    expect(exitCode).toBe(70);
    expect(err).toMatch(/^tapdisk-ts: unexpected failure: [^\n]+\n$/);
  },
);

it('the stack is for those who ask for it', () => {
  const error = new TypeError('x is undefined');
  expect(report(error).err).not.toContain('failure.test');
  expect(report(error, { env: { TAPDISK_TS_DEBUG: '1' } }).err).toContain('failure.test');
});

it('what others wrote does not steer the terminal', () => {
  expect(report(new TapdiskError('X', 'host \x1b[31mred\x07')).err).toBe(
    'tapdisk-ts: host \u{fffd}[31mred\u{fffd}\n',
  );
});
