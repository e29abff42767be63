/** Marker files are there for every volume that is there, and have no bytes. */
import { mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { silentLog } from '../../lib/control/log';
import { markersDirectory, refreshMarkers, volumeOfMarker } from '../../lib/host/volume-markers';
import { runCommand } from '../cli/captured-io';
import { makePoolRoom } from '../pool/temporary-pool';

const room = makePoolRoom();
afterAll(room.dispose);
const directory = markersDirectory(room.env);

async function run(...argv: string[]): Promise<void> {
  expect(await runCommand(argv, { env: room.env })).toMatchObject({ exitCode: 0 });
}

const markers = (): string[] =>
  readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(directory, path.join(entry.parentPath, entry.name)))
    .sort();

test('they follow the volumes of every pool', async () => {
  await run('pool', 'create', 'main', '--path', room.poolPath);
  await run('create', 'main/web', '--size', '1M');
  mkdirSync(path.dirname(directory), { recursive: true, mode: 0o700 });
  await refreshMarkers(room.env, silentLog);
  expect(markers()).toEqual(['main/web']);
  expect(statSync(path.join(directory, 'main/web')).size).toBe(0);

  // A volume that is made here need not wait for the daemon.
  await run('create', 'main/db', '--size', '1M');
  expect(markers()).toEqual(['main/db', 'main/web']);

  await run('delete', 'main/web', '--yes');
  mkdirSync(path.join(directory, 'other'));
  writeFileSync(path.join(directory, 'other/gone'), '');
  await refreshMarkers(room.env, silentLog);
  expect(markers()).toEqual(['main/db']);

  // A pool that is not reached keeps those it has.
  rmSync(room.poolPath, { recursive: true });
  await refreshMarkers(room.env, silentLog);
  expect(markers()).toEqual(['main/db']);
});

test.each([
  ['main/web', 'main/web'],
  ['main/../main/web', 'main/web'],
  ['main', null],
  ['main/web/x', null],
  ['../volumes.json', null],
  ['../../x', null],
])('%s names %s', (file, volume) => {
  expect(volumeOfMarker(directory, `${directory}/${file}`)).toBe(volume);
});

test('a relative path is no marker’s', () => {
  expect(volumeOfMarker(directory, 'main/web')).toBeNull();
});
