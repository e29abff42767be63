/** `pool status` and `doctor --pool` of a pool of one host. */
import { chmodSync, renameSync } from 'node:fs';
import { openPool } from '../../lib/pool/open-pool';
import { makePoolRoom, type PoolRoom } from '../pool/temporary-pool';
import { runCommand } from './captured-io';

let room: PoolRoom;
beforeEach(async () => {
  room = makePoolRoom();
  expect((await run('pool', 'create', 'main', '--path', room.poolPath)).exitCode).toBe(0);
  expect((await run('create', 'main/a', '--size', '1M')).exitCode).toBe(0);
});
afterEach(() => {
  chmodSync(room.poolPath, 0o700);
  room.dispose();
});

const run = (...argv: string[]): ReturnType<typeof runCommand> => runCommand(argv, room);

test('status shows owner and standby', async () => {
  const pool = await openPool('main', room);
  const attachment = await pool.coordination.attach('a', { readOnly: false });
  const standby = await pool.coordination.standBy('a');
  const { exitCode, out } = await run('pool', 'status', 'main', '--json');
  expect(exitCode).toBe(0);
  expect(JSON.parse(out)).toMatchObject({
    name: 'main',
    cluster: null,
    owners: [{ volume: 'a', pid: process.pid, epoch: 1, leaseLeftMs: null }],
    standbys: [{ volume: 'a', pid: process.pid }],
    failures: [],
  });
  const text = (await run('pool', 'status', 'main')).out;
  expect(text).toMatch(/^coordination +local$/m);
  expect(text).toMatch(new RegExp(`^a +owner +\\S+ +${process.pid} +1 `, 'm'));
  await standby.cancel();
  await attachment.release();
  await pool.close();
});

test('status tells what it cannot see, and fails', async () => {
  renameSync(room.poolPath, `${room.poolPath}-away`);
  const { exitCode, out, err } = await run('pool', 'status', 'main');
  expect(exitCode).toBe(1);
  expect(out).toMatch(/^pool +main$/m);
  expect(err).toContain('is its disk mounted?');
  renameSync(`${room.poolPath}-away`, room.poolPath);
});

test('doctor tries a pool, and says what is wrong with it', async () => {
  const sound = await run('doctor', '--pool', 'main');
  expect(sound.exitCode).toBe(0);
  expect(sound.out.match(/ ok /g)).toHaveLength(4);
  const unknown = await run('doctor', '--pool', 'nix');
  expect(unknown.exitCode).toBe(1);
  expect(unknown.out).toMatch(/config +failed +there is no pool "nix"/);
  renameSync(room.poolPath, `${room.poolPath}-away`);
  const away = await run('doctor', '--pool', 'main', '--json');
  expect(away.exitCode).toBe(1);
  expect(JSON.parse(away.out)).toMatchObject([
    { name: 'config', ok: true },
    { name: 'owner', ok: false },
    { name: 'directory', ok: false },
    { name: 'pool', ok: false },
  ]);
  renameSync(`${room.poolPath}-away`, room.poolPath);
});
