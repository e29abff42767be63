/** What a command is: its words, its options, its examples and what it does. */
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
  /** As yargs takes it: `create <volume>`. The first word names the command. */
  readonly usage: string;
  readonly summary: string;
  /** At least one; command lines as a user types them, `tapdisk-ts` included. */
  readonly examples: readonly [Example, ...Example[]];
  options(yargs: Argv): Argv<Options>;
  /** Resolves to the exit code, or to nothing for 0. Refusals are thrown as TapdiskError. */
  run(options: ArgumentsCamelCase<Options>, context: CommandContext): Promise<number | void>;
}

/** A command whose options' type has been checked and forgotten, so that a list can hold it. */
export type Command = CommandDefinition<unknown>;

/** Commands under one word: `pool create`, `pool list`, … */
export interface CommandGroup {
  readonly name: string;
  readonly summary: string;
  readonly commands: readonly Command[];
}

/** Checks that `run` takes what `options` yields. */
export function defineCommand<Options>(definition: CommandDefinition<Options>): Command {
  return definition;
}
