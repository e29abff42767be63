/** `tapdisk-ts daemon` from its start to its end. */
import { silentLog } from '../../lib/control/log';
import { mustHaveDaemon } from '../../lib/host/daemon-lock';
import { runDaemon } from '../../lib/host/run-daemon';
import { runCommand } from '../cli/captured-io';
import { type HostRoom, roomForEachTest, until } from './host-room';

const AT = 'backend/vbd/5/51712';
let room: HostRoom;
roomForEachTest((made) => (room = made));

function run(): { watching: Promise<void>; end: Promise<unknown> } {
  let end: Promise<unknown> = Promise.resolve();
  const watching = new Promise<void>((resolve, reject) => {
    end = runDaemon({ env: room.env, log: silentLog, onWatching: resolve });
    end.catch(reject);
  });
  end.catch(() => undefined);
  return { watching, end };
}

test('it serves until SIGTERM, and the disks go on', async () => {
  const { watching, end } = run();
  await watching;
  expect(() => mustHaveDaemon(room.env)).not.toThrow();
  room.makeBackEnd(AT, { script: 'block-tapdisk-ts', params: 'main/web' });
  const pid = Number(await room.told(`${AT}/tapdisk-ts-pid`, /^\d+$/));
  room.pids.add(pid);
  process.emit('SIGTERM');
  await end;
  process.kill(pid, 0);
  expect(room.xenstored.watched).toEqual([]);
});

test('XENSTORE_LOST ends it, so that whoever keeps it running starts it anew', async () => {
  const { watching, end } = run();
  await watching;
  room.xenstored.dropClients();
  await expect(end).rejects.toMatchObject({ code: 'XENSTORE_LOST' });
});

test('without xenstored the command says so', async () => {
  const env = { ...room.env, XENSTORED_PATH: `${room.directory}/none` };
  const { exitCode, err } = await runCommand(['daemon', '--json'], { env });
  expect([exitCode, JSON.parse(err)]).toMatchObject([
    1,
    { error: { code: 'XENSTORE_UNAVAILABLE' } },
  ]);
});

test('markers are made at its start', async () => {
  const { watching, end } = run();
  await runCommand(['pool', 'create', 'main', '--path', `${room.directory}/pool`], room);
  await watching;
  await runCommand(['create', 'main/web', '--size', '1M'], room);
  const params = `${room.runtime}/volumes/main/web`;
  room.makeBackEnd(AT, { script: '/etc/xen/scripts/block', params });
  room.pids.add(Number(await room.told(`${AT}/tapdisk-ts-pid`, /^\d+$/)));
  process.emit('SIGINT');
  await end;
  await until(
    () => room.xenstored.watched.length === 0,
    () => 'still watches',
  );
});
