/**
 * Goal: the unit that `make install` puts on a host is one that systemd takes, and starts in order.
 * Method: `systemd-analyze verify`, which prints what it does not know; nothing is started.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PROJECT_ROOT } from '../project-root';
import { testWhere } from '../where';

const found = spawnSync('systemd-analyze', ['--version']);
const absence = found.error === undefined ? null : 'there is no systemd-analyze';

let directory: string;
beforeEach(() => (directory = mkdtempSync(join(tmpdir(), 'tapdisk-ts-unit-'))));
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function verify(change: (unit: string) => string = (unit) => unit): string {
  const unit = readFileSync(join(PROJECT_ROOT, 'share/tapdisk-ts.service'), 'utf8')
    .replaceAll('@BINDIR@', join(PROJECT_ROOT, 'bin'))
    .replaceAll('@LIBDIR@', PROJECT_ROOT);
  const file = join(directory, 'tapdisk-ts.service');
  writeFileSync(file, change(unit));
  const { stdout, stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', file], {
    encoding: 'utf8',
  });
  return stdout + stderr;
}

testWhere(absence, 'the unit')('systemd finds nothing wrong with it', () => {
  expect(verify()).toBe('');
});

testWhere(absence, 'a wrong unit')('systemd says what is wrong with another', () => {
  const said = verify((unit) => unit.replace('KillMode=process', 'KillMode=nobody'));
  expect(said).toContain('kill mode');
});

test('it comes after whatever starts xenstored, and before the domains', () => {
  const unit = readFileSync(join(PROJECT_ROOT, 'share/tapdisk-ts.service'), 'utf8');
  expect(/^After=(.*)$/m.exec(unit)?.[1].split(' ')).toEqual(
    expect.arrayContaining(['xenstored.service', 'xen.service']),
  );
  expect(/^Before=(.*)$/m.exec(unit)?.[1].split(' ')).toContain('xendomains.service');
});
