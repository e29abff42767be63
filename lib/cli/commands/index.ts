/** Every command, in the order in which help shows them. */
import { type CommandGroup, listed, type ListedCommand } from '../command';

/* eslint-disable @typescript-eslint/no-require-imports -- imports would load all commands, with the
   rooms that each needs, at every start, and one is run */
export const commands: readonly (ListedCommand | CommandGroup)[] = [
  {
    name: 'pool',
    summary: 'Create, list and delete pools',
    commands: [
      listed(
        'create <name>',
        'Create a pool: of this host, or with --etcd of every host that joins it',
        () => require('./pool-create') as typeof import('./pool-create'),
      ),
      listed(
        'join <name>',
        'Make a pool of a cluster, which another host has created, known on this host',
        () => require('./pool-join') as typeof import('./pool-join'),
      ),
      listed(
        'list',
        'List the pools',
        () => require('./pool-list') as typeof import('./pool-list'),
      ),
      listed(
        'info <pool>',
        'Show all about a pool: its place, its volumes, its space',
        () => require('./pool-info') as typeof import('./pool-info'),
      ),
      listed(
        'status <pool>',
        'Show how a pool is: members, quorum, space, owners, standbys',
        () => require('./pool-status') as typeof import('./pool-status'),
      ),
      listed(
        'delete <pool>',
        'Delete a pool; one that has volumes only with --force',
        () => require('./pool-delete') as typeof import('./pool-delete'),
      ),
    ],
  },
  listed(
    'create <volume>',
    'Create a volume; it reads as zeros and takes space only as it is written',
    () => require('./create') as typeof import('./create'),
  ),
  listed(
    'list [pool]',
    'List volumes, of one pool or of all, or the disks that run now',
    () => require('./list') as typeof import('./list'),
  ),
  listed(
    'info <volume>',
    'Show all about a volume: size, chunks, layers, owner',
    () => require('./info') as typeof import('./info'),
  ),
  listed(
    'resize <volume> <size>',
    'Make a volume larger, also while it is used; smaller only by --allow-shrink',
    () => require('./resize') as typeof import('./resize'),
  ),
  listed(
    'delete <volume>',
    'Delete a volume and its data',
    () => require('./delete') as typeof import('./delete'),
  ),
  listed(
    'attach <volume>',
    'Start a process that serves a volume',
    () => require('./attach') as typeof import('./attach'),
  ),
  listed(
    'daemon',
    "Serve the disks of this host's Xen domains, until stopped",
    () => require('./daemon') as typeof import('./daemon'),
  ),

  {
    name: 'serve',
    summary: 'Serve volumes to clients other than Xen guests',
    commands: [
      listed(
        'nbd <volume..>',
        'Serve volumes to NBD clients, until interrupted',
        () => require('./serve-nbd') as typeof import('./serve-nbd'),
      ),
    ],
  },
  listed(
    'detach <volume>',
    'Finish what is in flight and stop serving a volume',
    () => require('./detach') as typeof import('./detach'),
  ),
  listed(
    'handover <volume>',
    'Move a running disk to a process that stands by for it (attach --wait)',
    () => require('./handover') as typeof import('./handover'),
  ),
  listed(
    'pause <volume>',
    'Finish what is in flight and take nothing until resume',
    () => require('./pause') as typeof import('./pause'),
  ),
  listed(
    'resume <volume>',
    'Let a paused disk go on',
    () => require('./resume') as typeof import('./resume'),
  ),
  listed(
    'stats <volume>',
    "Show a running disk's counters",
    () => require('./stats') as typeof import('./stats'),
  ),
  listed(
    'record <volume>',
    "Record a running disk's requests into a trace",
    () => require('./record') as typeof import('./record'),
  ),
  listed(
    'replay <trace>',
    "Drive a running disk's ring with a trace, and verify every read",
    () => require('./replay') as typeof import('./replay'),
  ),

  {
    name: 'trace',
    summary: 'Look into, make and convert traces of requests',
    commands: [
      listed(
        'info <trace>',
        'Read a trace whole and sum it up',
        () => require('./trace-info') as typeof import('./trace-info'),
      ),
      listed(
        'cat <trace>',
        'Print the requests of a trace, one a line',
        () => require('./trace-cat') as typeof import('./trace-cat'),
      ),
      listed(
        'make <output>',
        'Make up a mixed trace from a seed',
        () => require('./trace-make') as typeof import('./trace-make'),
      ),
      listed(
        'import <trace> <output>',
        "Convert a blkreplay load ('.load', '.load.gz')",
        () => require('./trace-import') as typeof import('./trace-import'),
      ),
    ],
  },
  listed(
    'doctor [directory]',
    'Show what this host offers, and what is missing for what',
    () => require('./doctor') as typeof import('./doctor'),
  ),
];
