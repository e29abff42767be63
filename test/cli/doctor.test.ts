/** `doctor`: findings as a table and as JSON, and the exit code. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runCommand } from './captured-io';

interface Finding {
  name: string;
  present: boolean;
  required: boolean;
  found: string;
  missingFor: string;
}

const directory = mkdtempSync(join(tmpdir(), 'tapdisk-ts-doctor-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

test('--json gives every finding with what it is missing for', async () => {
  const { exitCode, out, err } = await runCommand(['doctor', '--json']);
  expect({ exitCode, err }).toEqual({ exitCode: 0, err: '' });
  const findings = JSON.parse(out) as Finding[];
  const names = findings.map((finding) => finding.name);
  expect(names).toEqual(
    expect.arrayContaining(['kernel', 'ffi', 'addon', 'io_uring', 'xen', 'blktap1', 'blktap2']),
  );
  expect(new Set(names).size).toBe(names.length);
  for (const finding of findings) {
    expect(finding.found).not.toBe('');
    expect(finding.missingFor).not.toBe('');
  }
});

test('the table says what is missing for what', async () => {
  const { out } = await runCommand(['doctor']);
  expect(out).toMatch(/^FEATURE +HERE +FOUND\n/);
  expect(out).toMatch(/^kernel +yes +Linux /m);
  const { out: json } = await runCommand(['doctor', '--json']);
  for (const finding of JSON.parse(json) as Finding[]) {
    expect(out.includes(`needed for ${finding.missingFor}`)).toBe(!finding.present);
  }
});

test('a directory is looked at as the place of a pool, and left as it was', async () => {
  const { exitCode, out } = await runCommand(['doctor', directory]);
  expect(exitCode).toBe(0);
  expect(out).toContain(`${directory} can be written`);
  expect(readdirSync(directory)).toEqual([]);
});

test('a directory that cannot be a pool is exit code 1', async () => {
  const { exitCode, out } = await runCommand(['doctor', join(directory, 'missing')]);
  expect(exitCode).toBe(1);
  expect(out).toMatch(/^directory +no +.*missing: ENOENT/m);
});
