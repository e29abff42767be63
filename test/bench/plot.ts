/** `make bench-plot`: draws the last results as bars against their goals, docs/performance.svg. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PROJECT_ROOT } from '../project-root';
import { readResults, type GroupResult, type Results } from './results';
import { verdictsOf, type Verdict } from './report';
import { isMet } from './row';

const TARGET = join(PROJECT_ROOT, 'docs/performance.svg');

const WIDTH = 1060;
const BAR_LEFT = 520;
const BAR_RIGHT = 940;
const ROW_HEIGHT = 22;
const BAR_HEIGHT = 12;
const TOP = 56;
const HEAD_HEIGHT = 34;
/** Bars end here, however far beyond its goal a figure is. */
const SCORE_MAX = 2;

const COLOURS = {
  met: '#2f7d5b',
  missed: '#b4533c',
  goal: '#1d2433',
  text: '#1d2433',
  dim: '#68707f',
};

interface Bar {
  readonly label: string;
  readonly figure: string;
  /** 1 is the goal; more is better. */
  readonly score: number;
  readonly met: boolean;
}

function barsOf({ rows }: GroupResult): Bar[] {
  return rows.flatMap(({ load, lines }) =>
    lines.flatMap((line) => verdictsOf(line).map((verdict) => barOf(load, line.who, verdict))),
  );
}

function barOf(load: string, who: string, { name, value, goal }: Verdict): Bar {
  const more = goal.sense === 'at least';
  const what = name === 'IOPS' ? `IOPS to those of ${who}` : `${name}, ${who}`;
  return {
    label: `${load}: ${what}`,
    figure: `${value.toFixed(2)} (${more ? '≥' : '≤'} ${goal.value})`,
    score: more ? value / goal.value : goal.value / value,
    met: isMet(value, goal),
  };
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

function text(x: number, y: number, content: string, style: string): string {
  return `<text x="${x}" y="${y}" ${style}>${escaped(content)}</text>`;
}

function xOf(score: number): number {
  return BAR_LEFT + ((BAR_RIGHT - BAR_LEFT) * Math.min(score, SCORE_MAX)) / SCORE_MAX;
}

function draw(results: Results): string {
  const parts: string[] = [];
  const goalX = xOf(1);
  let y = TOP;
  for (const [group, result] of Object.entries(results)) {
    const bars = barsOf(result);
    if (bars.length === 0) continue;
    y += HEAD_HEIGHT;
    const when = `${result.at.slice(0, 10)}, load average before: ${result.loadBefore}`;
    parts.push(text(16, y - 10, group, 'font-weight="bold"'));
    parts.push(text(BAR_LEFT, y - 10, when, `fill="${COLOURS.dim}" font-size="11"`));
    for (const bar of bars) {
      const colour = bar.met ? COLOURS.met : COLOURS.missed;
      const width = (xOf(bar.score) - BAR_LEFT).toFixed(1);
      parts.push(text(BAR_LEFT - 8, y + 11, bar.label, 'text-anchor="end" font-size="11"'));
      parts.push(
        `<rect x="${BAR_LEFT}" y="${y + 1}" width="${width}" height="${BAR_HEIGHT}" fill="${colour}"/>`,
      );
      parts.push(text(BAR_RIGHT + 6, y + 11, bar.figure, 'font-size="11"'));
      y += ROW_HEIGHT;
    }
  }
  const height = y + 20;
  const machine = Object.values(results)[0]?.machine ?? '';
  const line =
    `<line x1="${goalX}" x2="${goalX}" y1="${TOP}" y2="${y}" ` +
    `stroke="${COLOURS.goal}" stroke-dasharray="3 3"/>`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" ` +
      `viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="13" fill="${COLOURS.text}">`,
    `<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>`,
    text(16, 24, 'tapdisk-ts against its goals', 'font-size="16" font-weight="bold"'),
    text(16, 44, machine, `fill="${COLOURS.dim}" font-size="11"`),
    text(goalX, 52, 'goal', 'text-anchor="middle" font-size="11"'),
    ...parts,
    line,
    '</svg>',
    '',
  ].join('\n');
}

const results = readResults();
if (Object.keys(results).length === 0) {
  process.stdout.write('no results yet: run make bench first\n');
  process.exit(1);
}
writeFileSync(TARGET, draw(results));
process.stdout.write(`${TARGET}\n`);
