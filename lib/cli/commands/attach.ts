/** `tapdisk-ts attach`: starts a process that serves a volume on a ring. */
import { resolve } from 'node:path';
import { parseVolumeAddress } from '../../pool/address';
import { defineCommand } from '../command';
import { attachVolume } from '../running/attach-volume';
import { formatSize } from '../sizes';

const SECTOR_BYTES = 512;

export const attach = defineCommand({
  usage: 'attach <volume>',
  summary: 'Start a process that serves a volume',
  examples: [
    ['tapdisk-ts attach main/disk1', "Serve it on a new ring of the kernel's blktap2 module"],
    ['tapdisk-ts attach main/disk1 --minor 3', 'On /dev/xen/blktap3, or where that minor is'],
    ['tapdisk-ts attach main/disk1 --device shm:/dev/shm/rings', 'On a stand-in, without Xen'],
  ],
  options: (yargs) =>
    yargs
      .positional('volume', { type: 'string', demandOption: true, describe: 'POOL/VOLUME' })
      .option('read-only', { type: 'boolean', default: false, describe: 'Refuse writes' })
      .option('device', {
        type: 'string',
        default: 'auto',
        requiresArg: true,
        describe: 'auto, shm:DIRECTORY, or the path of a blktap device',
      })
      .option('minor', { type: 'number', requiresArg: true, describe: "Device's minor, 0 to 255" })
      .option('domid', {
        type: 'number',
        default: 0,
        requiresArg: true,
        describe: 'Domain whose disk this is',
      })
      .option('log', { type: 'string', requiresArg: true, describe: "File for the process's log" }),
  async run(options, { io, output }) {
    parseVolumeAddress(options.volume);
    const log = options.log ?? io.env.TAPDISK_TS_LOG;
    const attached = await attachVolume({
      volume: options.volume,
      readOnly: options['read-only'],
      device: options.device,
      minor: options.minor,
      domid: options.domid,
      log: log ? resolve(log) : undefined,
      env: io.env,
    });
    output.facts(attached, [
      ['volume', attached.volume],
      ['pid', String(attached.pid)],
      ['minor', String(attached.minor)],
      ['device', attached.device],
      ['size', formatSize(attached.sectors * SECTOR_BYTES)],
      ['mode', attached.readOnly ? 'read-only' : 'read and write'],
      ['log', attached.log],
    ]);
  },
});
