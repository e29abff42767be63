/** Volumes that a process exports or stands by for, where what it waited for does not come. */
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { createLog } from '../../lib/control/create-log';
import { TapdiskError } from '../../lib/errors';
import { openPool } from '../../lib/pool/open-pool';
import { NbdDisks, type OpenNbdDisks } from '../../lib/tapdisk/nbd-disks';
import { NbdProcesses } from '../e2e/nbd-processes';

const VOLUME = 'main/a';

let processes: NbdProcesses;
let stranger: Server;
let path: string;

beforeEach(async () => {
  processes = await NbdProcesses.create();
  path = join(processes.directory, 'nbd.sock');
  stranger = createServer().listen(path);
});
afterEach(() => {
  stranger.close();
  processes.end();
});

function optionsOf(change: Partial<OpenNbdDisks>): OpenNbdDisks {
  return {
    volumes: [VOLUME],
    readOnly: false,
    wait: true,
    env: processes.env,
    addresses: [{ kind: 'unix', path }],
    server: { tls: null, onConnectionFailed: () => undefined },
    listenTimeoutMs: 30,
    log: createLog({ TAPDISK_TS_LOG: join(processes.directory, 'log') }),
    onServing: () => undefined,
    onUnused: () => undefined,
    onFailed: () => undefined,
    ...change,
  };
}

test('an address that stays another`s is given up, told, and the volume given back', async () => {
  let disks!: NbdDisks;
  const reason = await new Promise<unknown>((resolve, reject) => {
    const onServing = (): void => reject(new Error('it says that it serves'));
    void NbdDisks.open(optionsOf({ onServing, onFailed: resolve })).then((opened) => {
      disks = opened;
      disks.begin();
    }, reject);
  });
  expect(reason).toBeInstanceOf(TapdiskError);
  expect(reason).toMatchObject({ code: 'NBD_LISTEN_BUSY' });
  expect(disks.list()).toMatchObject([
    { volume: VOLUME, state: 'stopped', device: null, reason: (reason as Error).message },
  ]);
  await expect(disks.pause(0)).rejects.toMatchObject({ code: 'DISK_STANDBY' });
  await disks.closeAll();
  const pool = await openPool('main', { env: processes.env });
  const attachment = await pool.coordination.attach('a', { readOnly: false });
  expect(attachment.uncleanBefore).toBe(false);
  await attachment.release();
  await pool.close();
});

test('an address that becomes free in time is taken', async () => {
  let serving: (uris: readonly string[]) => void = () => undefined;
  const served = new Promise<readonly string[]>((resolve) => (serving = resolve));
  const disks = await NbdDisks.open(optionsOf({ onServing: serving, listenTimeoutMs: 20_000 }));
  disks.begin();
  // It has the volume by then, and has found the address taken.
  while (disks.list()[0].state !== 'running') await new Promise((go) => setTimeout(go, 5));
  stranger.close();
  expect(await served).toEqual([`nbd+unix:///${VOLUME}?socket=${path}`]);
  await disks.closeAll();
});
