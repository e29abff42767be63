/** The admin's command line: finds the command, runs it, turns its end into an exit code. */
import yargs from 'yargs/yargs';
import type { ArgumentsCamelCase, Argv } from 'yargs';
import { TapdiskError } from '../errors';
import type { Command, CommandGroup, ListedCommand } from './command';
import { commands } from './commands';
import { EXIT_OK, reportFailure, UsageError } from './failure';
import { processIo, type CommandIo } from './io';
import { Output } from './output';
import { packageVersion } from './version';

const EXIT_CODES_TEXT =
  'Exit codes: 0 done, 1 refused or failed, 2 wrong command line, 3 not found, 4 exists already, ' +
  '5 in use, 6 the serving process died, 7 no space, 8 damaged or of an unknown version, 70 a fault of this program.';

interface Chosen {
  readonly command: Command;
  readonly options: ArgumentsCamelCase;
}

/**
 * Runs one command line (without node and script) and resolves to its exit code.
 * Nothing but `io` is written to, and the process is not ended.
 */
export async function main(argv: readonly string[], io: CommandIo = processIo()): Promise<number> {
  const json = argv.includes('--json');
  try {
    if (argv[0] === '--get-yargs-completions') {
      io.out(await completion().completeWords(commands, argv.slice(1), io));
      return EXIT_OK;
    }
    const chosen = parse(argv, io);
    if (chosen === null) return EXIT_OK;
    const output = new Output(io, chosen.options.json === true);
    return (await chosen.command.run(chosen.options, { io, output })) ?? EXIT_OK;
  } catch (error) {
    return reportFailure(error, json, io);
  }
}

/* eslint-disable @typescript-eslint/no-require-imports -- an import would load pools and stores in
   every command, and only a shell's completion needs them here */
const completion = (): typeof import('./completion') =>
  require('./completion') as typeof import('./completion');
/* eslint-enable @typescript-eslint/no-require-imports */

/** Finds the command; null where yargs answered by itself (--help, --version, completion). */
function parse(argv: readonly string[], io: CommandIo): Chosen | null {
  let chosen: Chosen | null = null;
  let answer = '';
  const parser = buildParser(io, (command, options) => {
    chosen = { command, options };
  });
  void parser.parse([...argv], {}, (_error, _argv, text) => {
    answer = text;
  });
  if (answer !== '') io.out(`${answer}\n`);
  return chosen;
}

type Choose = (command: Command, options: ArgumentsCamelCase) => void;

function buildParser(io: CommandIo, choose: Choose): Argv {
  const parser = yargs()
    .scriptName('tapdisk-ts')
    .usage('$0 COMMAND: volumes, pools and running disks of tapdisk-ts')
    .exitProcess(false)
    .strict()
    .parserConfiguration({ 'duplicate-arguments-array': false })
    .option('json', { type: 'boolean', default: false, describe: 'Print JSON, sizes in bytes' })
    .demandCommand(1, 'name a command; tapdisk-ts --help lists them')
    .recommendCommands()
    .completion('completion', 'Print a completion script for bash or zsh')
    .example('tapdisk-ts completion >> ~/.bashrc', 'Complete commands, options and volumes')
    .help()
    .version(packageVersion())
    .wrap(io.columns)
    .epilogue(EXIT_CODES_TEXT)
    .fail((message, error) => {
      throw usageError(message, error);
    });
  for (const entry of commands) {
    if ('commands' in entry) addGroup(parser, entry, choose);
    else addCommand(parser, entry, choose);
  }
  return parser;
}

function addGroup(parser: Argv, group: CommandGroup, choose: Choose): void {
  parser.command(group.name, group.summary, (inner) => {
    for (const command of group.commands) addCommand(inner, command, choose);
    return inner.demandCommand(
      1,
      `name what to do; tapdisk-ts ${group.name} --help lists the commands`,
    );
  });
}

function addCommand(parser: Argv, listed: ListedCommand, choose: Choose): void {
  parser.command(
    listed.usage,
    listed.summary,
    (inner) => {
      const command = listed.load();
      for (const [line, purpose] of command.examples) inner.example(line, purpose);
      return command.options(inner);
    },
    (options) => choose(listed.load(), options),
  );
}

/** A value's own refusal keeps its code; what yargs says becomes one sentence. */
function usageError(message: string, error: Error | undefined): Error {
  if (error instanceof TapdiskError) return error;
  const text = (message ?? error?.message ?? 'wrong command line').trim();
  if (text.startsWith('Did you mean')) return new UsageError(`unknown command; d${text.slice(1)}`);
  const sentence = text.replace(/\s*\n\s*/g, ' ');
  return new UsageError(sentence.charAt(0).toLowerCase() + sentence.slice(1));
}
