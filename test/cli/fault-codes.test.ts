/** The codes of what is no refusal: a wrong command line, and faults of the program. */
import { assert } from '../../lib/assert';
import { reportFailure } from '../../lib/cli/failure';
import type { CommandIo } from '../../lib/cli/io';
import { Failures } from '../../lib/control/failures';
import { runCommand } from './captured-io';

function thrownBy(work: () => void): unknown {
  try {
    work();
  } catch (error) {
    return error;
  }
  throw new Error('nothing was thrown');
}

const broken = thrownBy(() => assert(false, 'chunks are whole'));

test('a wrong command line is USAGE', async () => {
  const { exitCode, err } = await runCommand(['pool', 'list', '--colour', '--json']);
  expect(exitCode).toBe(2);
  expect(JSON.parse(err)).toMatchObject({ error: { code: 'USAGE' } });
});

test('a broken invariant is UNEXPECTED for whoever runs a command', () => {
  let err = '';
  const io = { err: (text: string) => void (err += text), env: {} } as unknown as CommandIo;
  expect(reportFailure(broken, true, io)).toBe(70);
  expect(JSON.parse(err)).toMatchObject({ error: { code: 'UNEXPECTED' } });
});

test('and ASSERTION for whoever asks a process why a request of its pipes failed', () => {
  const failures = new Failures();
  failures.record(7, broken);
  expect(failures.list()).toEqual([
    { cookie: 7, code: 'ASSERTION', message: 'invariant broken: chunks are whole' },
  ]);
});
