/** How results reach people and programs: aligned text, or JSON with exact bytes. */
import Table from 'cli-table3';
import type { CommandIo } from './io';

export interface Column<Row> {
  readonly head: string;
  readonly text: (row: Row) => string;
  /** Numbers and sizes read better flush right. */
  readonly align?: 'left' | 'right';
}

const NO_BORDERS = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '  ',
};

/** Where a command's results go. Under `--json`, standard output carries JSON and nothing else. */
export class Output {
  constructor(
    private readonly io: CommandIo,
    readonly json: boolean,
  ) {}

  /** One result: `value` under --json, else `text` as a line. */
  result(value: unknown, text: string): void {
    if (this.json) this.writeJson(value);
    else this.io.out(`${printable(text)}\n`);
  }

  /** Rows under headings; under --json an array of the rows as they are. */
  table<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): void {
    if (this.json) this.writeJson(rows);
    else this.io.out(layTable(columns, rows));
  }

  /** Names and values under each other; under --json `value`. */
  facts(value: unknown, lines: readonly (readonly [name: string, text: string])[]): void {
    if (this.json) this.writeJson(value);
    else this.io.out(layFacts(lines));
  }

  /** A remark beside the result, on standard error; nothing under --json. */
  note(text: string): void {
    if (!this.json) this.io.err(`${printable(text)}\n`);
  }

  private writeJson(value: unknown): void {
    this.io.out(`${JSON.stringify(value, null, 2)}\n`);
  }
}

function layTable<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string {
  const table = new Table({
    head: columns.map((column) => column.head),
    colAligns: columns.map((column) => column.align ?? 'left'),
    chars: NO_BORDERS,
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
  });
  for (const row of rows) table.push(columns.map((column) => printable(column.text(row))));
  return trimLines(table.toString());
}

function layFacts(lines: readonly (readonly [string, string])[]): string {
  const width = Math.max(...lines.map(([name]) => name.length));
  return lines.map(([name, text]) => `${name.padEnd(width)}  ${printable(text)}\n`).join('');
}

function trimLines(text: string): string {
  return `${text
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n')}\n`;
}

/** Text from files and sockets of others must not steer the terminal. */
export function printable(text: string): string {
  return text.replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/g, '\u{fffd}');
}
