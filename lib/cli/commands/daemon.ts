/** `tapdisk-ts daemon`: serves the disks that toolstacks give to this host's domains. */
import { createLog } from '../../control/create-log';
import { runDaemon } from '../../host/run-daemon';
import { defineCommand } from '../command';

export const command = defineCommand({
  examples: [['tapdisk-ts daemon', 'In the foreground, as systemd starts it']],
  options: (yargs) => yargs,
  run: (_options, { io, output }) =>
    runDaemon({
      env: io.env,
      log: createLog({ ...io.env }, 'tapdisk-ts-daemon'),
      onWatching: () => output.result({ pid: process.pid }, 'watches xenstore for disks to serve'),
    }),
});
