/** Every command, in the order in which help shows them. */
import type { Command, CommandGroup } from '../command';
import { attach } from './attach';
import { create } from './create';
import { daemon } from './daemon';
import { deleteCommand } from './delete';
import { detach } from './detach';
import { doctor } from './doctor';
import { handover } from './handover';
import { info } from './info';
import { list } from './list';
import { pause } from './pause';
import { poolCreate } from './pool-create';
import { poolDelete } from './pool-delete';
import { poolInfo } from './pool-info';
import { poolJoin } from './pool-join';
import { poolList } from './pool-list';
import { poolStatus } from './pool-status';
import { record } from './record';
import { replay } from './replay';
import { resize } from './resize';
import { resume } from './resume';
import { serveNbd } from './serve-nbd';
import { stats } from './stats';
import { traceCat } from './trace-cat';
import { traceImport } from './trace-import';
import { traceInfo } from './trace-info';
import { traceMake } from './trace-make';

export const commands: readonly (Command | CommandGroup)[] = [
  {
    name: 'pool',
    summary: 'Create, list and delete pools',
    commands: [poolCreate, poolJoin, poolList, poolInfo, poolStatus, poolDelete],
  },
  create,
  list,
  info,
  resize,
  deleteCommand,
  attach,
  daemon,
  {
    name: 'serve',
    summary: 'Serve volumes to clients other than Xen guests',
    commands: [serveNbd],
  },
  detach,
  handover,
  pause,
  resume,
  stats,
  record,
  replay,
  {
    name: 'trace',
    summary: 'Look into, make and convert traces of requests',
    commands: [traceInfo, traceCat, traceMake, traceImport],
  },
  doctor,
];
