import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { commands } from '../../lib/cli/commands';
import { runCommand } from './captured-io';

const NO_POOLS = { env: { TAPDISK_TS_CONFIG_DIR: '/nonexistent' } };
const run = (...argv: string[]) => runCommand(argv, NO_POOLS);

const commandLines = commands.flatMap((entry) =>
  'commands' in entry
    ? entry.commands.map((command) => [entry.name, command.usage.split(' ')[0]])
    : [[entry.usage.split(' ')[0]]],
);

test.each(commandLines.map((words) => [words.join(' '), words] as const))(
  '%s --help shows an example and is no failure',
  async (line, words) => {
    const { exitCode, out, err } = await run(...words, '--help');
    expect(err).toBe('');
    expect(exitCode).toBe(0);
    expect(out).toContain('Examples:');
    expect(out).toContain(`tapdisk-ts ${line}`);
  },
);

test('--help lists every command and the exit codes', async () => {
  const { out } = await run('--help');
  for (const entry of commands) {
    expect(out).toContain(`tapdisk-ts ${'commands' in entry ? entry.name : entry.usage}`);
  }
  expect(out).toContain('Exit codes:');
});

test('--version prints what package.json says', async () => {
  const description = readFileSync(join(__dirname, '../../package.json'), 'utf8');
  const { version } = JSON.parse(description) as { version: string };
  expect(await run('--version')).toEqual({ exitCode: 0, out: `${version}\n`, err: '' });
});

test.each([
  [[], 'name a command'],
  [['pool'], 'name what to do'],
  [['frobnicate'], 'unknown argument: frobnicate'],
  [['pol'], 'unknown command; did you mean pool?'],
  [['pool', 'list', '--colour'], 'unknown argument: colour'],
])('a wrong command line %j is refused with one sentence and exit code 2', async (argv, words) => {
  const { exitCode, out, err } = await run(...argv);
  expect(exitCode).toBe(2);
  expect(out).toBe('');
  expect(err).toMatch(/^tapdisk-ts: [^\n]+\n$/);
  expect(err).toContain(words);
});

test('under --json a failure is an object on standard error', async () => {
  const { exitCode, out, err } = await run('frobnicate', '--json');
  expect(exitCode).toBe(2);
  expect(out).toBe('');
  expect(JSON.parse(err)).toEqual({
    error: { code: 'USAGE', message: expect.any(String) as string },
  });
});

test('the completion script asks the program itself', async () => {
  const { out } = await run('completion');
  expect(out).toContain('tapdisk-ts --get-yargs-completions');
});

test.each([
  [['tapdisk-ts', 'po'], ['pool']],
  [['tapdisk-ts', 'pool', 'l'], ['list']],
  [['tapdisk-ts', 'pool', 'list', '--j'], ['--json']],
  [['tapdisk-ts', 'nonsense', ''], []],
])('completes %j', async (words, candidates) => {
  const { exitCode, out } = await run('--get-yargs-completions', ...words);
  expect(exitCode).toBe(0);
  expect(out.split('\n').filter(Boolean)).toEqual(candidates);
});
