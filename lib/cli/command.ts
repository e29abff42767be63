/** What a command is: the words by which it is listed, and its file with all the rest. */
import type { ArgumentsCamelCase, Argv } from 'yargs';
import type { CommandIo } from './io';
import type { Output } from './output';

/** What every command is handed besides its own options. */
export interface CommandContext {
  readonly io: CommandIo;
  readonly output: Output;
}

/** A command line, and what it is good for. */
export type Example = readonly [commandLine: string, purpose: string];

export interface CommandDefinition<Options> {
  /** At least one; command lines as a user types them, `tapdisk-ts` included. */
  readonly examples: readonly [Example, ...Example[]];
  options(yargs: Argv): Argv<Options>;
  /** Resolves to the exit code, or to nothing for 0. Refusals are thrown as TapdiskError. */
  run(options: ArgumentsCamelCase<Options>, context: CommandContext): Promise<number | void>;
}

/** A command whose options' type has been checked and forgotten. */
export type Command = CommandDefinition<unknown>;

/**
 * A command as commands/index.ts has it, which every start of the program loads. `load` loads the
 * command's own file: when the command was chosen, or its options are asked for. So that file, and
 * whatever it imports, costs only those who use it.
 */
export interface ListedCommand {
  /** As yargs takes it: `create <volume>`. The first word names the command. */
  readonly usage: string;
  readonly summary: string;
  load(): Command;
}

/** Commands under one word: `pool create`, `pool list`, … */
export interface CommandGroup {
  readonly name: string;
  readonly summary: string;
  readonly commands: readonly ListedCommand[];
}

/** Checks that `run` takes what `options` yields. */
export function defineCommand<Options>(definition: CommandDefinition<Options>): Command {
  return definition;
}

/** `loadFile` loads the command's file, which exports it as `command`. */
export function listed(
  usage: string,
  summary: string,
  loadFile: () => { readonly command: Command },
): ListedCommand {
  return { usage, summary, load: () => loadFile().command };
}
