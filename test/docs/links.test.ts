/** Every link of the documentation leads somewhere, and every page of docs/ is linked. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { PROJECT_ROOT } from '../project-root';

function pagesOf(folder: string): string[] {
  return readdirSync(join(PROJECT_ROOT, folder), { withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.md'))
    .map((entry) => join(folder, entry.name));
}

const pages = [...pagesOf('.'), ...pagesOf('docs'), ...pagesOf('docs/commands')];

interface Link {
  readonly from: string;
  /** Of the project, from its root. */
  readonly to: string;
  readonly anchor: string | undefined;
}

const textOf = (page: string): string => readFileSync(join(PROJECT_ROOT, page), 'utf8');

function linksOf(page: string): Link[] {
  return [...textOf(page).matchAll(/\]\(([^)\s]+)\)/g)]
    .map((match) => match[1])
    .filter((target) => !/^[a-z]+:/.test(target))
    .map((target) => {
      const [file, anchor] = target.split('#');
      return { from: page, to: file === '' ? page : join(dirname(page), file), anchor };
    });
}

/** As the common renderers name a heading. */
function anchorsOf(page: string): string[] {
  return [...textOf(page).matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

const links = pages.flatMap(linksOf);

test('every link leads to a file', () => {
  expect(links.length).toBeGreaterThan(0);
  expect(links.filter(({ to }) => !existsSync(join(PROJECT_ROOT, to)))).toEqual([]);
});

test('every anchor is a heading', () => {
  const lost = links.filter(
    ({ to, anchor }) =>
      anchor !== undefined && pages.includes(to) && !anchorsOf(to).includes(anchor),
  );
  expect(lost).toEqual([]);
});

test('every page of docs/ is linked', () => {
  const linked = new Set(links.map(({ to }) => relative('.', to)));
  const orphans = pages.filter((page) => page.startsWith('docs/') && !linked.has(page));
  expect(orphans).toEqual([]);
});
