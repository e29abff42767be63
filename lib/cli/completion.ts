/** Completes a command line's last word: commands, options, pools and volumes. */
import yargs from 'yargs/yargs';
import { poolsDirectory } from '../pool/config-directory';
import { openPool } from '../pool/open-pool';
import { listPoolNames } from '../pool/pool-config';
import type { Command, CommandGroup, ListedCommand } from './command';
import type { CommandIo } from './io';

/** Resolves to candidates for a positional's word. */
export type Candidates = (io: CommandIo) => Promise<readonly string[]>;

/** What a positional of this name holds, in every command; of others the shell completes files. */
const CANDIDATES_BY_POSITIONAL: Readonly<Record<string, Candidates>> = {
  pool: poolNames,
  volume: volumeAddresses,
};

const GLOBAL_OPTIONS = ['json', 'help'];

/**
 * One candidate a line, as the script that `tapdisk-ts completion` prints wants them.
 * `words` is the command line so far, its first word the program's name, its last the unfinished.
 */
export async function completeWords(
  entries: readonly (ListedCommand | CommandGroup)[],
  words: readonly string[],
  io: CommandIo,
): Promise<string> {
  const before = words.slice(1, -1);
  const current = words.length > 1 ? words[words.length - 1] : '';
  const candidates = await candidatesFor(entries, before, current, io);
  return candidates
    .filter((candidate) => candidate.startsWith(current))
    .map((candidate) => `${candidate}\n`)
    .join('');
}

async function candidatesFor(
  entries: readonly (ListedCommand | CommandGroup)[],
  before: readonly string[],
  current: string,
  io: CommandIo,
): Promise<readonly string[]> {
  if (before.length === 0) return [...entries.map(nameOf), 'completion'];
  const entry = entries.find((candidate) => nameOf(candidate) === before[0]);
  if (entry === undefined) return [];
  if (!('commands' in entry)) return commandCandidates(entry, before.slice(1), current, io);
  if (before.length === 1) return entry.commands.map(nameOf);
  const command = entry.commands.find((candidate) => nameOf(candidate) === before[1]);
  return command === undefined ? [] : commandCandidates(command, before.slice(2), current, io);
}

async function commandCandidates(
  command: ListedCommand,
  before: readonly string[],
  current: string,
  io: CommandIo,
): Promise<readonly string[]> {
  const positionals = [...command.usage.matchAll(/[<[]([a-z]+)/g)].map((match) => match[1]);
  if (current.startsWith('-')) return optionsOf(command.load(), positionals);
  const position = before.filter((word) => !word.startsWith('-')).length;
  const candidates = CANDIDATES_BY_POSITIONAL[positionals[position]];
  return candidates === undefined ? [] : candidates(io);
}

function nameOf(entry: ListedCommand | CommandGroup): string {
  return 'commands' in entry ? entry.name : entry.usage.split(' ')[0];
}

/** yargs keeps its options behind a method that its types do not name. */
function optionsOf(command: Command, positionals: readonly string[]): string[] {
  const parser = command.options(yargs()) as unknown as {
    getOptions(): { key: Record<string, unknown> };
  };
  // yargs brings --help and --version along, and one-letter aliases.
  return [...new Set([...Object.keys(parser.getOptions().key), ...GLOBAL_OPTIONS])]
    .filter((key) => !positionals.includes(key) && key !== 'version' && key.length > 1)
    .map((key) => `--${key}`);
}

async function poolNames(io: CommandIo): Promise<readonly string[]> {
  return listPoolNames(poolsDirectory(io.env));
}

/** A pool that cannot be opened has no candidates; the command itself will say why. */
async function volumeAddresses(io: CommandIo): Promise<readonly string[]> {
  const addresses: string[] = [];
  for (const name of await poolNames(io)) {
    try {
      const pool = await openPool(name, { env: io.env });
      for (const volume of await pool.coordination.names()) addresses.push(`${name}/${volume}`);
      await pool.close();
    } catch {
      addresses.push(`${name}/`);
    }
  }
  return addresses;
}
