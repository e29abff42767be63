/** `attach --domain` and `detach`, with a daemon and a guest that the test plays itself. */
import type { Daemon } from '../../lib/host/daemon';
import { takeDaemonLock } from '../../lib/host/daemon-lock';
import { attachDomainDisk, detachDomainDisk } from '../../lib/host/domain-disk';
import { backEnd } from '../../lib/xenstore/back-end-path';
import { openXenStore } from '../../lib/xenstore/open-xenstore';
import { runCommand, type CommandRun } from '../cli/captured-io';
import { type HostRoom, roomForEachTest } from './host-room';

const AT = 'backend/vbd/5/51728';
const FRONT = '/local/domain/5/device/vbd/51728';
const LIBXL = '/libxl/5/device/vbd/51728';

let room: HostRoom;
let daemon: Daemon;
let guest: NodeJS.Timeout | undefined;

// Before the room goes.
afterEach(() => clearInterval(guest));
roomForEachTest((made) => (room = made));
beforeEach(async () => {
  room.xenstored.write('/local/domain/5/name', 'web');
  room.xenstored.mkdir('/libxl/5');
  await run('pool', 'create', 'main', '--path', `${room.directory}/pool`);
  await run('create', 'main/disk1', '--size', '1M');
  daemon = await room.daemon();
});

const run = (...argv: string[]): Promise<CommandRun> => runCommand(argv, { env: room.env });
const attach = (...options: string[]): Promise<CommandRun> =>
  run('attach', 'main/disk1', '--domain', 'web', '--device', 'xvdb', ...options);

/**
 * Connects once the disk is served, and lets go when it is told to, unless it uses the disk; then
 * the process ends, as a real one does.
 */
function playGuest(usesDisk = false): void {
  const { xenstored } = room;
  guest = setInterval(() => {
    const state = xenstored.read(`${AT}/state`);
    if (state === '1' && xenstored.read(`${AT}/tapdisk-ts-pid`) !== undefined) {
      xenstored.write(`${FRONT}/state`, '4');
      xenstored.write(`${AT}/state`, '4');
    }
    if (state !== '5' || usesDisk) return;
    xenstored.write(`${AT}/state`, '6');
    process.kill(daemon.serving.get('vbd-5-51728')!, 'SIGKILL');
  }, 10);
}

test('DAEMON_NOT_RUNNING is said before anything is made', async () => {
  const { exitCode, err } = await attach();
  expect({ exitCode, err }).toEqual({
    exitCode: 1,
    err: expect.stringContaining('systemctl start') as string,
  });
  expect(room.xenstored.list('/local/domain/5')).toEqual(['name']);
});

describe('with a daemon', () => {
  beforeEach(() => takeDaemonLock(room.runtime));

  test('a disk comes into a running domain and goes again', async () => {
    playGuest();
    const { exitCode, out, err } = await attach('--json');
    expect({ exitCode, err }).toEqual({ exitCode: 0, err: '' });
    const pid = daemon.serving.get('vbd-5-51728');
    expect(JSON.parse(out)).toMatchObject({ pid, devid: 51728, domain: { domid: 5, name: 'web' } });
    room.pids.add(pid!);
    const { xenstored } = room;
    expect(xenstored.permissions(FRONT)).toEqual(['n5', 'r0']);
    expect(xenstored.permissions(AT)).toEqual(['n0', 'r5']);
    expect(xenstored.read(`${FRONT}/backend`)).toBe(`/local/domain/0/${AT}`);
    expect(xenstored.read(`${FRONT}/virtual-device`)).toBe('51728');
    expect(xenstored.read(`${AT}/mode`)).toBe('w');
    expect(xenstored.read(`${LIBXL}/backend`)).toBe(`/local/domain/0/${AT}`);

    const again = await attach('--json');
    expect(again).toMatchObject({
      exitCode: 4,
      err: expect.stringContaining('DOMAIN_DISK_EXISTS') as string,
    });

    const detached = await run('detach', 'main/disk1');
    expect(detached).toMatchObject({ exitCode: 0, out: 'main/disk1 detached from domain 5\n' });
    await room.ended(pid!);
    expect(xenstored.list('backend/vbd')).toEqual([]);
    expect(xenstored.list('/local/domain/5/device/vbd')).toEqual([]);
    expect(xenstored.list('/libxl/5/device/vbd')).toEqual([]);
  });

  test('read-only, by the domain’s number', async () => {
    playGuest();
    await run('attach', 'main/disk1', '--domain', '5', '--device', 'xvdb', '--read-only');
    room.pids.add(daemon.serving.get('vbd-5-51728')!);
    expect(room.xenstored.read(`${AT}/mode`)).toBe('r');
  });

  test.each([
    [['--domain', 'db', '--device', 'xvdb'], 3, 'DOMAIN_NOT_FOUND'],
    [['--domain', 'web', '--device', 'sda99'], 2, 'VIRTUAL_DEVICE_INVALID'],
    [['--domain', 'web'], 2, '--device xvdb'],
    [['--domain', 'web', '--device', 'xvdb', '--wait'], 2, 'at once or not at all'],
    [['--domain', 'web', '--device', 'xvdb', '--minor', '1'], 2, 'mutually exclusive'],
  ])('%j is refused with exit code %i', async (options, exitCode, words) => {
    const found = await run('attach', 'main/disk1', '--json', ...options);
    expect(found).toMatchObject({ exitCode, err: expect.stringContaining(words) as string });
    expect(room.xenstored.list('backend/vbd')).toBeUndefined();
  });

  test('VOLUME_NOT_FOUND before anything is made', async () => {
    const found = await run('attach', 'main/none', '--domain', 'web', '--device', 'xvdb');
    expect(found.exitCode).toBe(3);
    expect(room.xenstored.list('backend/vbd')).toBeUndefined();
  });

  test('DOMAIN_DISK_REFUSED gives the daemon’s reason, and nothing is left', async () => {
    await run('create', 'main/refused', '--size', '1M');
    const found = await run(
      'attach',
      'main/refused',
      '--domain',
      'web',
      '--device',
      'xvdb',
      '--json',
    );
    expect(JSON.parse(found.err)).toEqual({
      error: { code: 'DOMAIN_DISK_REFUSED', message: 'no volume main/refused' },
    });
    expect(room.xenstored.list('backend/vbd')).toEqual([]);
    expect(room.xenstored.list('/local/domain/5/device/vbd')).toEqual([]);
  });
});

describe('deadlines', () => {
  const disk = {
    domain: { domid: 5, name: 'web' },
    backEnd: backEnd('vbd', 5, 51728),
    ...{ device: 'xvdb', volume: 'main/disk1', readOnly: false },
  };

  test('DOMAIN_DISK_TIMEOUT where the domain does not take it, and nothing is left', async () => {
    const store = await openXenStore({ env: room.env });
    // A guest without a driver, and a process that closes its disk when it is told to.
    guest = setInterval(() => {
      if (room.xenstored.read(`${AT}/state`) !== '5') return;
      const pid = daemon.serving.get('vbd-5-51728');
      if (pid !== undefined) process.kill(pid, 'SIGKILL');
      room.xenstored.write(`${AT}/state`, '6');
    }, 10);
    await expect(attachDomainDisk(store, disk, 500)).rejects.toMatchObject({
      code: 'DOMAIN_DISK_TIMEOUT',
      message: expect.stringContaining('xen-blkfront') as string,
    });
    expect(room.xenstored.list('backend/vbd')).toEqual([]);
    store.close();
  });

  test('DOMAIN_DISK_BUSY where the domain does not let go; it may be asked again', async () => {
    const store = await openXenStore({ env: room.env });
    playGuest(true);
    const pid = await attachDomainDisk(store, disk, 20_000);
    room.pids.add(pid);
    await expect(detachDomainDisk(store, disk.backEnd, 50)).rejects.toMatchObject({
      code: 'DOMAIN_DISK_BUSY',
    });
    expect(room.xenstored.read(`${AT}/online`)).toBe('0');
    room.xenstored.write(`${AT}/state`, '6');
    process.kill(pid, 'SIGKILL');
    await detachDomainDisk(store, disk.backEnd, 50);
    expect(room.xenstored.list('backend/vbd')).toEqual([]);
    store.close();
  });
});
