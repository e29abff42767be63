/** Every command, in the order in which help shows them. */
import type { Command, CommandGroup } from '../command';
import { poolList } from './pool-list';

export const commands: readonly (Command | CommandGroup)[] = [
  { name: 'pool', summary: 'Create, list and delete pools', commands: [poolList] },
];
