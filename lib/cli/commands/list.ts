/** `tapdisk-ts list`: the volumes of the pools, or the disks that run. */
import type { DiskStatus } from '../../control/disk-host';
import { listRunning } from '../../control/socket-client';
import { checkName } from '../../coordination/name';
import { poolsDirectory } from '../../pool/config-directory';
import { listPoolNames } from '../../pool/pool-config';
import { defineCommand, type CommandContext } from '../command';
import { EXIT_OK, EXIT_REFUSED, reportFailure } from '../failure';
import { formatSize } from '../sizes';
import { formatOwner, StoresForQuestions, type VolumeSummary } from '../volume-summary';
import { withPool } from '../with-pool';

export const command = defineCommand({
  examples: [
    ['tapdisk-ts list', 'The volumes of every pool'],
    ['tapdisk-ts list main --json', 'Those of pool main, sizes in bytes'],
    ['tapdisk-ts list --running', 'The disks that tapdisk processes serve now'],
  ],
  options: (yargs) =>
    yargs
      .positional('pool', {
        type: 'string',
        describe: 'Name of a pool',
        coerce: (name: string | undefined) =>
          name === undefined ? undefined : checkName('pool', name),
      })
      .option('running', {
        type: 'boolean',
        default: false,
        describe: 'List the disks that run, with their processes',
      }),
  run: ({ pool, running }, context) =>
    running ? listDisks(pool, context) : listVolumes(pool, context),
});

/** What is damaged is told of, and does not hide the others. */
async function listVolumes(pool: string | undefined, context: CommandContext): Promise<number> {
  const { io, output } = context;
  const rows: VolumeSummary[] = [];
  let exitCode = EXIT_OK;
  const tell = (error: unknown): void => {
    reportFailure(error, output.json, io);
    exitCode = EXIT_REFUSED;
  };
  if (pool !== undefined) {
    await collect(pool, context, rows, tell);
  } else {
    for (const name of await listPoolNames(poolsDirectory(io.env))) {
      await collect(name, context, rows, tell).catch(tell);
    }
  }
  output.table(
    [
      { head: 'NAME', text: (row) => `${row.pool}/${row.name}` },
      { head: 'SIZE', text: (row) => formatSize(row.sizeBytes), align: 'right' },
      { head: 'USED', text: (row) => formatSize(row.usedBytes), align: 'right' },
      { head: 'CHUNK', text: (row) => formatSize(row.chunkBytes), align: 'right' },
      { head: 'ATTACHED', text: (row) => formatOwner(row.owner) },
    ],
    rows,
  );
  return exitCode;
}

async function collect(
  poolName: string,
  context: CommandContext,
  rows: VolumeSummary[],
  tell: (error: unknown) => void,
): Promise<void> {
  await withPool(poolName, context, async (pool) => {
    const stores = new StoresForQuestions(pool);
    try {
      for (const name of await pool.coordination.names()) {
        try {
          rows.push(await stores.summarise(name));
        } catch (error) {
          tell(error);
        }
      }
    } finally {
      await stores.close();
    }
  });
}

async function listDisks(
  pool: string | undefined,
  { io, output }: CommandContext,
): Promise<number> {
  const disks: DiskStatus[] = [];
  let exitCode = EXIT_OK;
  for (const running of await listRunning(io.env)) {
    if (running.silence !== null) {
      io.err(`tapdisk-ts: process ${running.pid} does not answer: ${running.silence}\n`);
      exitCode = EXIT_REFUSED;
    }
    disks.push(
      ...running.disks.filter(({ volume }) => pool === undefined || volume.startsWith(`${pool}/`)),
    );
  }
  output.table(
    [
      { head: 'VOLUME', text: (disk) => disk.volume },
      { head: 'PID', text: (disk) => String(disk.pid), align: 'right' },
      { head: 'COOKIE', text: (disk) => String(disk.cookie), align: 'right' },
      { head: 'DEVICE', text: (disk) => disk.device ?? '-' },
      { head: 'DOMAIN', text: (disk) => String(disk.domid ?? '-'), align: 'right' },
      { head: 'STATE', text: stateOf },
      { head: 'RECORDING', text: (disk) => disk.recording ?? '-' },
    ],
    disks,
  );
  return exitCode;
}

function stateOf({ state, readOnly, reason }: DiskStatus): string {
  return state + (readOnly ? ' (read-only)' : '') + (reason === null ? '' : `: ${reason}`);
}
