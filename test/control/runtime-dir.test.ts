import { chmodSync, mkdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import {
  ensureRuntimeDirectory,
  existingRuntimeDirectory,
  runtimeDirectory,
} from '../../lib/control/runtime-dir';
import { temporaryDirectory } from './temporary-directory';

const code = (name: string): Error => expect.objectContaining({ code: name }) as Error;
const at = (directory: string) => ({ TAPDISK_TS_RUNTIME_DIR: directory });

/** Runs `work` as if the process were another user's. */
function asUser<T>(uid: number, work: () => T): T {
  const spy = jest.spyOn(process, 'getuid' as never).mockReturnValue(uid as never);
  try {
    return work();
  } finally {
    spy.mockRestore();
  }
}

test('root has /run, others their session`s directory or one under /tmp', () => {
  const session = temporaryDirectory();
  expect(asUser(0, () => runtimeDirectory({ XDG_RUNTIME_DIR: session }))).toBe('/run/tapdisk-ts');
  expect(asUser(1000, () => runtimeDirectory({ XDG_RUNTIME_DIR: session }))).toBe(
    path.join(session, 'tapdisk-ts'),
  );
  expect(asUser(1000, () => runtimeDirectory({ XDG_RUNTIME_DIR: '/nowhere' }))).toBe(
    '/tmp/tapdisk-ts-1000',
  );
  expect(asUser(1000, () => runtimeDirectory(at('/elsewhere')))).toBe('/elsewhere');
});

test('it is made private, parents too', () => {
  const directory = path.join(temporaryDirectory(), 'a/b');
  expect(existingRuntimeDirectory(at(directory))).toBeNull();
  expect(ensureRuntimeDirectory(at(directory))).toBe(directory);
  expect(statSync(directory).mode & 0o777).toBe(0o700);
  expect(existingRuntimeDirectory(at(directory))).toBe(directory);
});

test.each([0o755, 0o770, 0o701])('mode %o is refused', (mode) => {
  const directory = temporaryDirectory();
  chmodSync(directory, mode);
  expect(() => ensureRuntimeDirectory(at(directory))).toThrow(code('RUNTIME_DIR_MODE'));
  expect(() => existingRuntimeDirectory(at(directory))).toThrow(code('RUNTIME_DIR_MODE'));
});

test('another user`s is refused', () => {
  const directory = temporaryDirectory();
  const other = statSync(directory).uid + 1;
  expect(() => asUser(other, () => ensureRuntimeDirectory(at(directory)))).toThrow(
    code('RUNTIME_DIR_OWNER'),
  );
});

test('a symbolic link or a file in its place is refused', () => {
  const directory = temporaryDirectory();
  mkdirSync(path.join(directory, 'real'), { mode: 0o700 });
  symlinkSync(path.join(directory, 'real'), path.join(directory, 'link'));
  writeFileSync(path.join(directory, 'file'), '');
  for (const name of ['link', 'file', 'file/below']) {
    expect(() => ensureRuntimeDirectory(at(path.join(directory, name)))).toThrow(
      code('RUNTIME_DIR_UNUSABLE'),
    );
  }
});

test('one too long for a socket is refused', () => {
  expect(() => runtimeDirectory(at(`/${'x'.repeat(100)}`))).toThrow(code('RUNTIME_DIR_TOO_LONG'));
});
