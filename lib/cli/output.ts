/** How results reach people and programs: aligned text, or JSON with exact bytes. */
import type { CommandIo } from './io';
import { printable } from './printable';
import type { Column } from './table';

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
    else this.io.out(tables().layTable(columns, rows));
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

/* eslint-disable @typescript-eslint/no-require-imports -- an import would load cli-table3 in every
   command, and few print a table */
const tables = (): typeof import('./table') => require('./table') as typeof import('./table');
/* eslint-enable @typescript-eslint/no-require-imports */

function layFacts(lines: readonly (readonly [string, string])[]): string {
  const width = Math.max(...lines.map(([name]) => name.length));
  return lines.map(([name, text]) => `${name.padEnd(width)}  ${printable(text)}\n`).join('');
}
