/** docs/commands has a page for every command, and every example there and in --help is a right one. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import yargs from 'yargs/yargs';
import type { ListedCommand } from '../../lib/cli/command';
import { commands } from '../../lib/cli/commands';

const PAGES = join(__dirname, '../../docs/commands');

interface NamedCommand {
  /** `attach`, or `pool create`. */
  readonly name: string;
  /** Any of these files is its page. */
  readonly pages: readonly string[];
  readonly command: ListedCommand;
}

const wordOf = (command: ListedCommand): string => command.usage.split(' ')[0];

const all: readonly NamedCommand[] = commands.flatMap((entry) => {
  if (!('commands' in entry)) {
    const name = wordOf(entry);
    return [{ name, pages: [`${name}.md`], command: entry }];
  }
  return entry.commands.map((command) => {
    const word = wordOf(command);
    const pages = [`${entry.name}.md`, `${entry.name}-${word}.md`];
    return { name: `${entry.name} ${word}`, pages, command };
  });
});

/** Throws what yargs says of a command line; values are checked as far as the parser does. */
function parseLine(line: string): void {
  const words = line.split(' | ')[0].split(' ');
  expect(words[0]).toBe('tapdisk-ts');
  const named = all.find(({ name }) => `${words.join(' ')} `.startsWith(`tapdisk-ts ${name} `));
  if (named === undefined) throw new Error(`no such command: ${line}`);
  const { command, name } = named;
  void yargs()
    .command(command.usage, '', (inner) => command.load().options(inner))
    .option('json', { type: 'boolean' })
    .strict()
    .exitProcess(false)
    .fail((message, error) => {
      throw error ?? new Error(message);
    })
    .parse([wordOf(command), ...words.slice(1 + name.split(' ').length)]);
}

const exampleLines = all.flatMap(({ command }) => command.load().examples.map(([line]) => line));

test.each(exampleLines)('--help: %s', (line) => {
  expect(() => parseLine(line)).not.toThrow();
});

test('a wrong example would be found', () => {
  expect(() => parseLine('tapdisk-ts create main/disk1 --size 10G --sise 10G')).toThrow('sise');
  expect(() => parseLine('tapdisk-ts create main/disk1')).toThrow('size');
  expect(() => parseLine('tapdisk-ts creat main/disk1')).toThrow('no such command');
});

test.each(all)('$name has a page', ({ name, pages }) => {
  const page = pages.find((file) => existsSync(join(PAGES, file)));
  expect(page).toBeDefined();
  const text = readFileSync(join(PAGES, page!), 'utf8');
  expect(text).toContain(`tapdisk-ts ${name}`);
  expect(text).toMatch(/^## Example/m);
  expect(text).toMatch(/^## Exit codes/m);
});

describe.each(readdirSync(PAGES))('%s', (file) => {
  const text = readFileSync(join(PAGES, file), 'utf8');

  test('is the page of a command', () => {
    expect(all.some(({ pages }) => pages.includes(file))).toBe(true);
  });

  test('has examples that the parser takes', () => {
    const lines = [...text.matchAll(/^ {4}\$ (tapdisk-ts .*)$/gm)].map((match) => match[1]);
    for (const line of lines) expect(() => parseLine(line)).not.toThrow();
    expect(lines.length).toBeGreaterThan(0);
  });

  test('names only options that there are', () => {
    const own = all.filter(({ pages }) => pages.includes(file));
    // Examples went through the parser; `list --running` speaks of another command.
    const prose = text.replace(/^ {4}\$ .*$/gm, '');
    const unknown = [...prose.matchAll(/(?:([a-z]+) )?--([a-z][a-z-]*)/g)].filter(
      ([, word, option]) => {
        const other = all.filter(({ name }) => name === word);
        // `serve nbd --wait` is spoken of by its last word.
        const others =
          other.length > 0 ? other : all.filter(({ name }) => name.endsWith(` ${word}`));
        const commandsMeant = others.length > 0 ? others : own;
        const options = commandsMeant.flatMap(({ command }) => optionsOf(command));
        return !options.includes(option.replace(/^no-/, ''));
      },
    );
    expect(unknown.map(([words]) => words)).toEqual([]);
  });
});

/** yargs keeps its options behind a method that its types do not name. */
function optionsOf(command: ListedCommand): string[] {
  const parser = command.load().options(yargs()) as unknown as {
    getOptions(): { key: Record<string, unknown> };
  };
  return [...Object.keys(parser.getOptions().key), 'json', 'help'];
}
