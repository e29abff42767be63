/** `tapdisk-ts attach`: starts a process that serves a volume on a ring, or to a domain. */
import { resolve } from 'node:path';
import type { WaitProgress } from '../../control/disk-host';
import { parseVolumeAddress } from '../../pool/address';
import type { AttachMode } from '../../tapdisk/disk-path';
import { type CommandContext, defineCommand } from '../command';
import { UsageError } from '../failure';
import { type Progress, startProgress } from '../progress';
import { attachToDomain } from '../running/attach-to-domain';
import { attachVolume } from '../running/attach-volume';
import { formatSize } from '../sizes';

const SECTOR_BYTES = 512;

export const command = defineCommand({
  examples: [
    ['tapdisk-ts attach main/disk1', "Serve it on a new ring of the kernel's blktap2 module"],
    ['tapdisk-ts attach main/disk1 --minor 3', 'On /dev/xen/blktap3, or where that minor is'],
    ['tapdisk-ts attach main/disk1 --device shm:/dev/shm/rings', 'On a stand-in, without Xen'],
    ['tapdisk-ts attach main/disk1 --domain web --device xvdb', 'As a disk of a running domain'],
    [
      'tapdisk-ts attach main/disk1 --wait',
      'Stand by, and serve it once it is free or handed over',
    ],
    ['tapdisk-ts attach main/disk1 --steal', 'Take it from an owner that is known to be dead'],
  ],
  options: (yargs) =>
    yargs
      .positional('volume', { type: 'string', demandOption: true, describe: 'POOL/VOLUME' })
      .option('read-only', { type: 'boolean', default: false, describe: 'Refuse writes' })
      .option('wait', {
        type: 'boolean',
        default: false,
        describe: 'Stand by where another has it, and take it the moment that it is free',
      })
      .option('steal', {
        type: 'boolean',
        default: false,
        describe: 'Take it from an owner known dead, once that can write no more',
      })
      .option('device', {
        type: 'string',
        default: 'auto',
        requiresArg: true,
        describe: 'auto, shm:DIRECTORY, or the path of a blktap device; xvdb with --domain',
      })
      .option('domain', {
        type: 'string',
        requiresArg: true,
        conflicts: ['minor', 'queues', 'log'],
        describe: 'Name or number of the running domain that gets the disk',
      })
      .option('minor', { type: 'number', requiresArg: true, describe: "Device's minor, 0 to 255" })
      .option('queues', {
        type: 'number',
        requiresArg: true,
        describe: 'Rings of a stand-in device, 1 to 16',
      })
      .option('domid', {
        type: 'number',
        default: 0,
        requiresArg: true,
        describe: 'Domain whose disk this is',
      })
      .option('log', { type: 'string', requiresArg: true, describe: "File for the process's log" }),
  async run(options, context) {
    const { io, output } = context;
    const address = parseVolumeAddress(options.volume);
    const mode = modeOf(options);
    const { domain, device } = options;
    if (domain !== undefined) {
      if (mode !== 'attach') throw new UsageError('a domain gets its disk at once or not at all');
      if (device === 'auto') throw new UsageError('say what the domain calls it: --device xvdb');
      return attachToDomain({ address, domain, device, readOnly: options.readOnly }, context);
    }
    const log = options.log ?? io.env.TAPDISK_TS_LOG;
    const progress = stealProgress(context);
    const attached = await attachVolume({
      volume: options.volume,
      readOnly: options['read-only'],
      mode,
      onProgress: (now) => progress.update(now),
      device: options.device,
      minor: options.minor,
      ...(options.queues !== undefined && { queues: options.queues }),
      domid: options.domid,
      log: log ? resolve(log) : undefined,
      env: io.env,
    }).finally(() => progress.stop());
    output.facts(attached, [
      ['volume', attached.volume],
      ['pid', String(attached.pid)],
      ['minor', String(attached.minor)],
      ['device', attached.device],
      ['state', attached.state],
      ['size', formatSize(attached.sectors * SECTOR_BYTES)],
      ['mode', attached.readOnly ? 'read-only' : 'read and write'],
      ['log', attached.log],
    ]);
  },
});

function modeOf(options: { wait: boolean; steal: boolean; 'read-only': boolean }): AttachMode {
  const { wait, steal } = options;
  if (wait && steal) throw new UsageError('give --wait or --steal, not both');
  if ((wait || steal) && options['read-only']) {
    throw new UsageError('--wait and --steal are for writing; leave --read-only away');
  }
  return wait ? 'wait' : steal ? 'steal' : 'attach';
}

/** A bar of seconds, from the moment at which it is known how many there are. */
function stealProgress(context: CommandContext): {
  update(progress: WaitProgress): void;
  stop(): void;
} {
  let bar: Progress | null = null;
  return {
    update({ waitedMs, totalMs }) {
      const total = Math.ceil(totalMs / 1000);
      bar ??= startProgress(context, { label: 'fencing the owner', total, unit: 's' });
      bar.update(Math.min(total, Math.floor(waitedMs / 1000)));
    },
    stop: () => bar?.stop(),
  };
}
