/** docs/errors.md lists every refusal, and each has a test that names its code. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(__dirname, '../..');

function filesBelow(directory: string): string[] {
  return readdirSync(join(root, directory), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => join(entry.parentPath, entry.name));
}

function textOf(directory: string, except?: string): string {
  return filesBelow(directory)
    .filter((path) => path !== except)
    .map((path) => readFileSync(path, 'utf8'))
    .join('\n');
}

const source = textOf('lib') + textOf('native-bindings');

/** Codes of one word, which nothing else tells from other words. */
const ONE_WORD_CODES = ['ASSERTION', 'INTERNAL', 'UNEXPECTED', 'USAGE'];

/** Spelt like a code and none: the messages of blktap1's pipes, Node's and zlib's own codes. */
const MESSAGES = ['IMG_FAIL', 'NEWDEV_RSP', 'NEWDEV_FAIL', 'CLOSE_RSP', 'PID_RSP'];
const NOT_CODES = [...MESSAGES, 'ERR_OUT_OF_RANGE', 'Z_BUF_ERROR'];

/** Environment variables, as literals. */
const VARIABLE = /^(TAPDISK_TS|XDG|XENSTORED|XENBUS)_/;

/** What versioned JSON (lib/coordination/versioned-json.ts) adds to a prefix. */
const PREFIXED = ['CORRUPT', 'VERSION_UNKNOWN'];

/**
 * Every literal that is spelt like a code is one, wherever it stands: in a throw, in the argument
 * of a helper, in the reason of a stopped ring. So a code cannot hide behind a helper.
 */
function codesInSource(): Set<string> {
  const codes = new Set(ONE_WORD_CODES.filter((code) => source.includes(`'${code}'`)));
  const prefixes = [...source.matchAll(/codePrefix: '([A-Z_]+)'/g)].map((match) => match[1]);
  for (const prefix of prefixes) for (const end of PREFIXED) codes.add(`${prefix}_${end}`);
  for (const [, literal] of source.matchAll(/'([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)'/g)) {
    if (VARIABLE.test(literal) || NOT_CODES.includes(literal)) continue;
    if (!prefixes.includes(literal)) codes.add(literal);
  }
  return codes;
}

interface Row {
  readonly code: string;
  readonly sentence: string;
  readonly remedy: string;
}

function rowsDocumented(): Row[] {
  const text = readFileSync(join(root, 'docs/errors.md'), 'utf8');
  return [...text.matchAll(/^\| `([A-Z0-9_]+)` \| (.*) \| (.*) \|$/gm)].map(
    ([, code, sentence, remedy]) => ({ code, sentence, remedy }),
  );
}

const rows = rowsDocumented();
const documented = new Set(rows.map(({ code }) => code));

describe('docs/errors.md', () => {
  it('lists every code of lib/ and native-bindings/', () => {
    expect([...codesInSource()].filter((code) => !documented.has(code)).sort()).toEqual([]);
  });

  it('lists no code that is gone, and none twice', () => {
    const codes = codesInSource();
    expect([...documented].filter((code) => !codes.has(code))).toEqual([]);
    expect(rows.length).toBe(documented.size);
  });

  it('gives each a sentence and what to do', () => {
    const poor = rows.filter(({ sentence, remedy }) => sentence.length < 10 || remedy.length < 5);
    expect(poor).toEqual([]);
  });

  it('lists only refusals that a test provokes', () => {
    const words = new Set(textOf('test', __filename).match(/[A-Z][A-Z0-9_]+/g));
    expect([...documented].filter((code) => !words.has(code))).toEqual([]);
  });
});
