/** The daemon on a double of xenstored, with real processes that have no disks behind them. */
import { mkdirSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { DRIVER_TYPE_CHUNK } from '../../lib/control/driver-types';
import { FifoClient } from '../../lib/control/fifo-client';
import { callProcess } from '../../lib/control/socket-client';
import { socketPathOf } from '../../lib/control/socket-files';
import { writeStartRecord } from '../../lib/host/start-record';
import { ensureRuntimeDirectory } from '../../lib/control/runtime-dir';
import { type HostRoom, roomForEachTest, until } from './host-room';

const AT = 'backend/vbd/5/51712';
const KEY = 'vbd-5-51712';
const SCRIPT = { script: '/etc/xen/scripts/block-tapdisk-ts' };

let room: HostRoom;
roomForEachTest((made) => (room = made));

async function diskOf(pid: number): Promise<{ device: string | null; readOnly: boolean }> {
  const { disks } = await callProcess(socketPathOf(room.runtime, pid), 'list', {});
  expect(disks.length).toBe(1);
  return disks[0];
}

describe('finds what to serve', () => {
  test('a disk that comes, and one that is there already', async () => {
    room.makeBackEnd('backend/vbd/4/51728', { ...SCRIPT, params: 'main/old', mode: 'r' });
    const daemon = await room.daemon();
    room.makeBackEnd(AT, { ...SCRIPT, params: 'main/web' });
    const pid = await room.served(daemon, KEY);
    expect(await diskOf(pid)).toMatchObject({
      volume: 'main/web',
      device: `xen:${AT}`,
      domid: 5,
      readOnly: false,
    });
    const old = await diskOf(await room.served(daemon, 'vbd-4-51728'));
    expect(old).toMatchObject({ volume: 'main/old', readOnly: true });
    await room.told(`${AT}/tapdisk-ts-pid`, new RegExp(`^${pid}$`));
  });

  test('a plain disk line that names a marker file', async () => {
    const daemon = await room.daemon();
    const params = path.join(room.runtime, 'volumes/main/web');
    room.makeBackEnd(AT, { script: '/etc/xen/scripts/block', type: 'phy', params });
    expect(await diskOf(await room.served(daemon, KEY))).toMatchObject({ volume: 'main/web' });
  });

  test.each(['tap', 'vbd3'])('the back end %s, without a script', async (kind) => {
    const daemon = await room.daemon();
    room.makeBackEnd(`backend/${kind}/5/51712`, { params: 'aio:main/web' });
    const pid = await room.served(daemon, `${kind}-5-51712`);
    expect((await diskOf(pid)).device).toBe(`xen:backend/${kind}/5/51712`);
  });

  test('nothing of disks that are others’', async () => {
    const daemon = await room.daemon();
    room.makeBackEnd('backend/vbd/5/1', { script: '/etc/xen/scripts/block', params: '/dev/sdb' });
    room.makeBackEnd('backend/vbd/5/2', { params: 'main/web' });
    room.makeBackEnd('backend/vbd3/5/3', { params: '/dev/sm/backend/x' });
    room.makeBackEnd('backend/qdisk/5/4', { ...SCRIPT, params: 'main/web' });
    room.makeBackEnd(AT, { ...SCRIPT, params: 'main/web' });
    await room.served(daemon, KEY);
    expect([...daemon.serving.keys()]).toEqual([KEY]);
  });

  test('a disk whose nodes come one after the other', async () => {
    const daemon = await room.daemon();
    room.makeBackEnd(AT, {});
    room.xenstored.write(`${AT}/params`, 'main/web');
    room.xenstored.write(`${AT}/script`, SCRIPT.script);
    await room.served(daemon, KEY);
  });
});

describe('keeps a disk served', () => {
  test('a process that is killed is started again, and told in the log', async () => {
    const daemon = await room.daemon();
    room.makeBackEnd(AT, { ...SCRIPT, params: 'main/web' });
    const first = await room.served(daemon, KEY);
    process.kill(first, 'SIGKILL');
    const second = await room.served(daemon, KEY, first);
    process.kill(second, 'SIGKILL');
    const third = await room.served(daemon, KEY, second);
    await room.told(`${AT}/tapdisk-ts-pid`, new RegExp(`^${third}$`));
    expect(room.said.filter((line) => line.includes('the process has ended')).length).toBe(2);
  });

  test('another daemon goes on with what runs, and starts what has died meanwhile', async () => {
    const first = await room.daemon();
    room.makeBackEnd(AT, { ...SCRIPT, params: 'main/web' });
    room.makeBackEnd('backend/vbd/5/51728', { ...SCRIPT, params: 'main/db' });
    const [web, db] = [await room.served(first, KEY), await room.served(first, 'vbd-5-51728')];
    await first.close();
    process.kill(db, 'SIGKILL');
    await room.ended(db);
    const second = await room.daemon();
    expect(second.serving.get(KEY)).toBe(web);
    await room.served(second, 'vbd-5-51728', db);
    process.kill(web, 'SIGKILL');
    await room.served(second, KEY, web);
  });

  test('what a killed daemon had started by half is ended, and started whole', async () => {
    const runtimeDirectory = ensureRuntimeDirectory(room.env);
    const ctl = new FifoClient({ directory: room.directory, minor: 0 });
    await ctl.spawn({ program: room.env.TAPDISK_TS_PROGRAM, env: room.env });
    const pid = await ctl.pid();
    room.pids.add(pid);
    writeStartRecord(runtimeDirectory, KEY, pid);
    await ctl.open(0, { path: 'main/web', readOnly: false, driverType: DRIVER_TYPE_CHUNK });
    await ctl.dispose();
    room.makeBackEnd(AT, { ...SCRIPT, params: 'main/web' });
    const daemon = await room.daemon();
    const whole = await room.served(daemon, KEY);
    expect((await diskOf(whole)).device).toBe(`xen:${AT}`);
    await room.ended(pid);
  });

  test('a guest’s disk whose start fails is tried again until it succeeds', async () => {
    const daemon = await room.daemon();
    room.makeBackEnd(AT, { ...SCRIPT, params: 'main/refused', state: '4' });
    await room.told(`${AT}/hotplug-error`, /no volume main\/refused/);
    room.xenstored.write(`${AT}/params`, 'main/web');
    await room.served(daemon, KEY);
    await until(
      () => room.xenstored.read(`${AT}/hotplug-error`) === undefined,
      () => 'the error stays',
    );
    expect(room.xenstored.read(`${AT}/state`)).toBe('4');
  });

  test('when the nodes name another volume, the process of the old one ends', async () => {
    const daemon = await room.daemon();
    room.makeBackEnd(AT, { ...SCRIPT, params: 'main/web' });
    const first = await room.served(daemon, KEY);
    room.xenstored.write(`${AT}/params`, 'main/db');
    const second = await room.served(daemon, KEY, first);
    expect(await diskOf(second)).toMatchObject({ volume: 'main/db' });
    await room.ended(first);
  });
});

describe('tells the toolstack', () => {
  test('why a disk cannot be, where libxl’s script looks', async () => {
    await room.daemon();
    room.makeBackEnd(AT, { ...SCRIPT, params: 'main/refused' });
    expect(await room.told(`${AT}/hotplug-error`, /./)).toBe('no volume main/refused');
    // libxl runs the script once the back end waits.
    await room.told(`${AT}/state`, /^2$/);
    expect(room.xenstored.read(`${AT}/hotplug-status`)).toBe('error');
    expect(readdirSync(room.runtime).filter((name) => name.startsWith('start-'))).toEqual([]);
  });

  test('also of an address that is none; without a script it does not pretend to wait', async () => {
    await room.daemon();
    room.makeBackEnd('backend/tap/5/51712', { params: 'web' });
    await room.told('backend/tap/5/51712/hotplug-error', /not a volume's address/);
    room.makeBackEnd('backend/tap/5/51728', { params: 'main/refused' });
    await room.told('backend/tap/5/51728/hotplug-error', /no volume/);
    expect(room.xenstored.read('backend/tap/5/51728/state')).toBe('1');
  });

  test('that it waits, where the process takes longer than libxl would', async () => {
    const daemon = await room.daemon({ initWaitAfterMs: 0 });
    room.makeBackEnd(AT, { ...SCRIPT, params: 'main/web' });
    await room.told(`${AT}/state`, /^2$/);
    await room.served(daemon, KEY);
    room.makeBackEnd('backend/vbd3/5/51728', { params: 'main/db' });
    await room.served(daemon, 'vbd3-5-51728');
    expect(room.xenstored.read('backend/vbd3/5/51728/state')).toBe('1');
  });

  test('and tries anew when the disk is made anew', async () => {
    const daemon = await room.daemon();
    room.makeBackEnd(AT, { ...SCRIPT, params: 'main/refused' });
    await room.told(`${AT}/hotplug-error`, /./);
    room.xenstored.remove(AT);
    room.makeBackEnd(AT, { ...SCRIPT, params: 'main/web' });
    await room.served(daemon, KEY);
  });
});

describe('lets go', () => {
  test('of a disk whose back end is gone; a process that does not see it is asked', async () => {
    const daemon = await room.daemon();
    room.makeBackEnd(AT, { ...SCRIPT, params: 'main/web' });
    const pid = await room.served(daemon, KEY);
    room.xenstored.remove('backend/vbd/5');
    await room.ended(pid);
    await until(
      () => daemon.serving.size === 0,
      () => 'still listed',
    );
    // Nothing is written into a directory that is gone.
    expect(room.xenstored.list('backend/vbd')).toEqual([]);
  });

  test('of a disk that the toolstack gave up before anybody served it', async () => {
    await room.daemon();
    room.makeBackEnd(AT, { ...SCRIPT, params: 'main/refused', online: '0', state: '5' });
    await room.told(`${AT}/state`, /^6$/);
  });

  test.each([
    ['for its volume', 'main/refused'],
    ['for its name', 'main/web,devtype=cdrom'],
  ])('of a disk that was refused %s, once the toolstack takes it away', async (_, params) => {
    await room.daemon();
    room.makeBackEnd(AT, { ...SCRIPT, params });
    await room.told(`${AT}/state`, /^2$/);
    room.xenstored.writeAll(AT, { online: '0', state: '5' });
    await room.told(`${AT}/state`, /^6$/);
  });

  test('of a disk that was taken away, but not while its guest may still write', async () => {
    const daemon = await room.daemon();
    room.makeBackEnd(AT, { ...SCRIPT, params: 'main/web' });
    const first = await room.served(daemon, KEY);
    room.xenstored.writeAll(AT, { online: '0', state: '5' });
    process.kill(first, 'SIGKILL');
    const second = await room.served(daemon, KEY, first);
    room.xenstored.write(`${AT}/state`, '6');
    process.kill(second, 'SIGKILL');
    await room.ended(second);
    await until(
      () => daemon.serving.size === 0,
      () => 'still listed',
    );
    room.makeBackEnd('backend/vbd/5/51728', { ...SCRIPT, params: 'main/db' });
    await room.served(daemon, 'vbd-5-51728');
    expect(daemon.serving.has(KEY)).toBe(false);
  });

  test('of what a dead domain left, once its toolstack had its time', async () => {
    const daemon = await room.daemon({ deadDomainGraceMs: 20 });
    room.xenstored.introduceDomain(6);
    room.makeBackEnd(AT, { ...SCRIPT, params: 'main/web' });
    room.makeBackEnd('backend/vbd/6/51712', { ...SCRIPT, params: 'main/db' });
    room.makeBackEnd('backend/vbd/5/2', { script: '/etc/xen/scripts/block', params: '/dev/sdb' });
    const pid = await room.served(daemon, KEY);
    const other = await room.served(daemon, 'vbd-6-51712');
    room.xenstored.releaseDomain(5);
    await room.ended(pid);
    expect(room.xenstored.list('backend/vbd/5')).toEqual(['2']);
    expect(daemon.serving.get('vbd-6-51712')).toBe(other);
  });
});

describe('the kernel’s own back end', () => {
  test('is unbound from our disks only', async () => {
    room.bindKernel(KEY);
    room.bindKernel('vbd-5-2');
    const daemon = await room.daemon();
    room.makeBackEnd('backend/vbd/5/2', { script: '/etc/xen/scripts/block', params: '/dev/sdb' });
    room.makeBackEnd(AT, { ...SCRIPT, params: 'main/web', state: '2' });
    await room.served(daemon, KEY);
    expect(readFileSync(path.join(room.bus, 'drivers/vbd/unbind'), 'utf8')).toBe(KEY);
  });

  test('KERNEL_HOLDS_DISK where it does not let go', async () => {
    room.bindKernel(KEY);
    // A directory cannot be written to.
    mkdirSync(path.join(room.bus, 'drivers/vbd/unbind'));
    await room.daemon();
    room.makeBackEnd(AT, { ...SCRIPT, params: 'main/web' });
    await room.told(`${AT}/hotplug-error`, /rmmod xen-blkback/);
    expect(room.said.join('\n')).toContain('KERNEL_HOLDS_DISK');
  });
});
