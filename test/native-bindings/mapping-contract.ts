/** What a mapping does, with the addon and without: one suite, run for both. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { mapShared } from '../../native-bindings/mapping';
import * as posix from '../../native-bindings/posix';
import { runTypescript } from './run-typescript';
import { temporaryDirectory } from './temporary-directory';
import { thrownBy } from './thrown-by';

const PAGE = 4096;
const TEBIBYTE = 2 ** 40;

export function describeMapping(env: Record<string, string>): void {
  const directory = temporaryDirectory();

  function file(name: string, lengthBytes: number): { path: string; fd: number } {
    const path = join(directory, name);
    const fd = posix.open(path, posix.O_CREAT | posix.O_RDWR);
    fs.ftruncateSync(fd, lengthBytes);
    return { path, fd };
  }

  test('two processes see each other write', () => {
    const { path, fd } = file('shared', 3 * PAGE);
    const mapping = mapShared(fd, 3 * PAGE);
    mapping.bytes.write('from the parent', PAGE);
    const child = runTypescript(
      `const posix = require('./native-bindings/posix.ts');
       const { mapShared } = require('./native-bindings/mapping.ts');
       const mapping = mapShared(posix.open(process.argv[1], posix.O_RDWR), 3 * 4096);
       console.log(mapping.bytes.toString('latin1', 4096, 4096 + 15));
       mapping.bytes.write('from the child', 2 * 4096);`,
      { env, arguments: [path] },
    );
    expect(child).toEqual({ exitCode: 0, signal: null, out: 'from the parent\n', err: '' });
    expect(mapping.bytes.toString('latin1', 2 * PAGE, 2 * PAGE + 14)).toBe('from the child');
    mapping.unmap();
    posix.close(fd);
  });

  test('a mapping has the length asked for, an address in /proc/self/maps, and ends once', () => {
    const { path, fd } = file('listed', 5 * PAGE);
    const mapping = mapShared(fd, 5 * PAGE);
    posix.close(fd);
    expect(mapping.bytes.length).toBe(5 * PAGE);
    const line = () => fs.readFileSync('/proc/self/maps', 'latin1').match(`.*${path}`)?.[0];
    expect(line()).toMatch(new RegExp(`^${mapping.address.toString(16).padStart(8, '0')}-.* rw-s`));
    mapping.unmap();
    expect(line()).toBeUndefined();
    mapping.unmap();
  });

  test('an offset beyond 4 GiB is the right page', () => {
    const { fd } = file('far', 5 * TEBIBYTE + PAGE);
    fs.writeSync(fd, 'far page', 5 * TEBIBYTE);
    const mapping = mapShared(fd, PAGE, 5 * TEBIBYTE);
    expect(mapping.bytes.toString('latin1', 0, 8)).toBe('far page');
    mapping.unmap();
    posix.close(fd);
  });

  test('what cannot be mapped is a SystemCallError', () => {
    expect(thrownBy(() => mapShared(123456, PAGE))).toMatchObject({
      code: 'EBADF',
      syscall: 'mmap',
    });
    const { fd } = file('odd', PAGE);
    expect(thrownBy(() => mapShared(fd, PAGE, 100))).toMatchObject({ code: 'EINVAL' });
    expect(() => mapShared(fd, 0)).toThrow('a mapping has bytes');
    posix.close(fd);
  });

  test('a mapping that nobody refers to stays', () => {
    const { path } = file('dropped', PAGE);
    const child = runTypescript(
      `const posix = require('./native-bindings/posix.ts');
       const { mapShared } = require('./native-bindings/mapping.ts');
       (() => mapShared(posix.open(process.argv[1], posix.O_RDWR), 4096).bytes.fill(1))();
       for (let round = 0; round < 3; round++) gc();
       setImmediate(() => {
         gc();
         const maps = require('node:fs').readFileSync('/proc/self/maps', 'latin1');
         console.log(maps.includes(process.argv[1]));
       });`,
      { env, arguments: [path], nodeArguments: ['--expose-gc'] },
    );
    expect(child).toEqual({ exitCode: 0, signal: null, out: 'true\n', err: '' });
  });
}
