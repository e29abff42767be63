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

/** Codes as they stand after `new TapdiskError(`. */
function codesThrown(): Set<string> {
  const codes = new Set<string>();
  for (const match of textOf('lib').matchAll(/new TapdiskError\(\s*'([A-Z0-9_]+)'/g)) {
    codes.add(match[1]);
  }
  return codes;
}

function codesDocumented(): Set<string> {
  const text = readFileSync(join(root, 'docs/errors.md'), 'utf8');
  return new Set([...text.matchAll(/^\| `([A-Z0-9_]+)` \|/gm)].map((match) => match[1]));
}

describe('docs/errors.md', () => {
  it('lists every code that lib/ throws', () => {
    const documented = codesDocumented();
    expect([...codesThrown()].filter((code) => !documented.has(code))).toEqual([]);
  });

  it('lists no code that is gone', () => {
    const source = textOf('lib');
    const gone = [...codesDocumented()].filter((code) => {
      // Some codes are put together from a prefix and an ending.
      const ending = /_(VERSION_UNKNOWN|CORRUPT|INVALID)$/.exec(code);
      const prefix = ending === null ? code : code.slice(0, ending.index);
      return !source.includes(`'${code}'`) && !source.includes(`'${prefix}'`);
    });
    expect(gone).toEqual([]);
  });

  it('lists only refusals that a test provokes', () => {
    const tests = textOf('test', __filename);
    expect([...codesDocumented()].filter((code) => !tests.includes(code))).toEqual([]);
  });
});
