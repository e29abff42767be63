/** The commands about pools and volumes, as an admin types them. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openPool } from '../../lib/pool/open-pool';
import { makePoolRoom, type PoolRoom } from '../pool/temporary-pool';
import { runCommand, type CommandRun } from './captured-io';

let room: PoolRoom;

beforeEach(async () => {
  room = makePoolRoom();
  await expectDone(`pool create main --path ${room.poolPath}`);
});
afterEach(() => room.dispose());

const run = (line: string, answers?: string[]): Promise<CommandRun> =>
  runCommand(line.split(' '), { env: room.env, ...(answers && { answers }) });

async function expectDone(line: string): Promise<string> {
  const { exitCode, out, err } = await run(line);
  expect({ line, exitCode, err }).toEqual({ line, exitCode: 0, err: '' });
  return out;
}

const json = async (line: string): Promise<unknown> =>
  JSON.parse(await expectDone(`${line} --json`)) as unknown;

/** The words of each line. */
const words = (text: string): string[][] =>
  text
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s{2,}/));

describe('create', () => {
  it('makes a volume with chunks of 4 MiB, and says so', async () => {
    expect(await expectDone('create main/a --size 10G')).toBe(
      'created main/a: 10 GiB in chunks of 4 MiB\n',
    );
    expect(await json('info main/a')).toMatchObject({
      pool: 'main',
      name: 'a',
      sizeBytes: 10 * 2 ** 30,
      chunkBytes: 4 * 2 ** 20,
      usedBytes: 0,
      chunks: 2560,
      ownedChunks: 0,
      epoch: 0,
      owner: null,
    });
  });

  it('takes a chunk size, and prints the record as JSON', async () => {
    expect(await json('create main/a --size 1M --chunk-size 64k')).toMatchObject({
      pool: 'main',
      name: 'a',
      sizeBytes: 2 ** 20,
      chunkBytes: 65536,
      frozenLayers: [],
    });
  });

  it.each([
    ['create main/a --size 1000', 1, 'multiple of 512 bytes'],
    ['create main/a --size 0', 1, 'multiple of 512 bytes'],
    ['create main/a --size 10GB', 2, 'powers of 1000 or of 1024'],
    ['create main/a --size 1G --chunk-size 3M', 1, 'power of two from 64K to 64M'],
    ['create main/a --size 7P --chunk-size 1M', 1, 'chunks of at least 4096 KiB'],
    ['create main/a', 2, 'missing required argument: size'],
    ['create main --size 1G', 2, 'write POOL/VOLUME'],
    ['create main/a@b --size 1G', 2, '"@" (U+0040) at position 2'],
    ['create nix/a --size 1G', 3, 'there is no pool "nix"'],
  ])('refuses %j', async (line, exitCode, sentence) => {
    const end = await run(line);
    expect(end.exitCode).toBe(exitCode);
    expect(end.err).toMatch(/^tapdisk-ts: [^\n]+\n$/);
    expect(end.err).toContain(sentence);
    expect(await json('list')).toEqual([]);
  });

  it('refuses a name that is taken', async () => {
    await expectDone('create main/a --size 1M');
    const { exitCode, err } = await run('create main/a --size 1M --json');
    expect(exitCode).toBe(4);
    expect(JSON.parse(err)).toMatchObject({ error: { code: 'VOLUME_EXISTS' } });
  });
});

describe('resize', () => {
  const sizeOf = async (): Promise<unknown> =>
    ((await json('info main/a')) as { sizeBytes: number }).sizeBytes;

  it('makes a volume larger, to a size or by one', async () => {
    await expectDone('create main/a --size 10G');
    expect(await expectDone('resize main/a 1.5T')).toBe('main/a has 1.5 TiB now, before 10 GiB\n');
    expect(await json('resize main/a +512')).toEqual({
      volume: 'main/a',
      beforeBytes: 1.5 * 2 ** 40,
      sizeBytes: 1.5 * 2 ** 40 + 512,
      pid: null,
      guestTold: false,
    });
    expect(await expectDone('resize main/a +0')).toBe('main/a has 1.5 TiB\n');
    expect(await json('info main/a')).toMatchObject({
      sizeBytes: 1.5 * 2 ** 40 + 512,
      chunks: 393217,
      owner: null,
    });
  });

  it('makes one smaller only where that is said', async () => {
    await expectDone('create main/a --size 10G');
    const refused = await run('resize main/a 8G --json');
    expect(refused.exitCode).toBe(1);
    expect(JSON.parse(refused.err)).toMatchObject({ error: { code: 'SHRINK_NOT_ALLOWED' } });
    expect(refused.err).toContain('--allow-shrink');
    expect(await sizeOf()).toBe(10 * 2 ** 30);
    await expectDone('resize main/a 8G --allow-shrink');
    expect(await sizeOf()).toBe(8 * 2 ** 30);
  });

  it.each([
    ['resize main/a 1000', 1, 'multiple of 512 bytes'],
    ['resize main/a 0 --allow-shrink', 1, 'multiple of 512 bytes'],
    ['resize main/a +9P', 2, 'beyond the largest size'],
    ['resize main/a +7.5P', 1, 'chunks of at least 4096 KiB'],
    ['resize main/a 10GB', 2, 'powers of 1000 or of 1024'],
    ['resize main/a ++1G', 2, 'is not a size'],
    ['resize main/a', 2, 'need at least 2'],
    ['resize main 1G', 2, 'write POOL/VOLUME'],
    ['resize main/b 1G', 3, 'there is no volume "b"'],
    ['resize nix/a 1G', 3, 'there is no pool "nix"'],
  ])('refuses %j', async (line, exitCode, sentence) => {
    await expectDone('create main/a --size 1G --chunk-size 2M');
    const end = await run(line);
    expect({ line, exitCode: end.exitCode, err: end.err }).toEqual({
      line,
      exitCode,
      err: expect.stringMatching(/^tapdisk-ts: [^\n]+\n$/) as string,
    });
    expect(end.err).toContain(sentence);
    expect(await sizeOf()).toBe(2 ** 30);
  });

  it('says where a volume is that only another process can resize', async () => {
    await expectDone('create main/a --size 1G');
    const pool = await openPool('main', room);
    await pool.coordination.attach('a', { readOnly: false });
    const { exitCode, err } = await run('resize main/a 2G --json');
    expect(exitCode).toBe(1);
    expect(JSON.parse(err)).toMatchObject({
      error: {
        code: 'RESIZE_ELSEWHERE',
        message: expect.stringContaining(`process ${process.pid} on host `) as string,
      },
    });
    await pool.close();
    await expectDone('resize main/a 2G');
  });
});

describe('list', () => {
  it('shows the volumes of all pools, or of one', async () => {
    await expectDone(`pool create two --path ${room.directory}/two`);
    await expectDone('create two/z --size 1M');
    await expectDone('create main/b --size 1.5T --chunk-size 1M');
    await expectDone('create main/a --size 10G');
    const head = ['NAME', 'SIZE', 'USED', 'CHUNK', 'ATTACHED'];
    const a = ['main/a', '10 GiB', '0 B', '4 MiB', '-'];
    const b = ['main/b', '1.5 TiB', '0 B', '1 MiB', '-'];
    expect(words(await expectDone('list'))).toEqual([
      head,
      a,
      b,
      ['two/z', '1 MiB', '0 B', '4 MiB', '-'],
    ]);
    expect(words(await expectDone('list main'))).toEqual([head, a, b]);
  });

  it('shows who has a volume', async () => {
    await expectDone('create main/a --size 1M');
    const pool = await openPool('main', room);
    await pool.coordination.attach('a', { readOnly: true });
    const [row] = (await json('list')) as [{ owner: { host: string } }];
    expect(row.owner).toMatchObject({ pid: process.pid, readOnly: true });
    expect(words(await expectDone('list'))[1][4]).toBe(
      `${row.owner.host}:${process.pid} (read-only)`,
    );
    expect(await expectDone('info main/a')).toContain(`${row.owner.host}:${process.pid}`);
    await pool.close();
  });

  it('tells of a damaged volume, and shows the others', async () => {
    await expectDone('create main/a --size 1M');
    await expectDone('create main/b --size 1M');
    writeFileSync(join(room.poolPath, 'volumes/a/record.json'), '{');
    const { exitCode, out, err } = await run('list');
    expect(exitCode).toBe(1);
    expect(err).toMatch(/^tapdisk-ts: .*volumes\/a\/record.json is damaged[^\n]+\n$/);
    expect(words(out).map(([name]) => name)).toEqual(['NAME', 'main/b']);
  });

  it('--running shows nothing where nothing runs', async () => {
    expect(await json('list --running')).toEqual([]);
  });
});

describe('delete', () => {
  beforeEach(() => expectDone('create main/a --size 1M'));

  it('asks a person, and takes anything but yes for no', async () => {
    const { exitCode, err } = await run('delete main/a', ['']);
    expect(exitCode).toBe(1);
    expect(err).toContain('Delete main/a (1 MiB) and all its data? [y/N]');
    expect(err).toContain('nothing was deleted');
    expect(await json('list')).toHaveLength(1);
    expect((await run('delete main/a', ['y'])).out).toBe('deleted main/a\n');
    expect(await json('list')).toEqual([]);
  });

  it('under --json nobody is asked', async () => {
    const { out } = await run('delete main/a --json', ['no']);
    expect(JSON.parse(out)).toEqual({ deleted: 'main/a' });
  });

  it.each(['delete main/a --yes', 'delete main/a -y', 'delete main/a'])(
    'does not ask with --yes, nor where nobody is: %s',
    async (line) => {
      expect(await expectDone(line)).toBe('deleted main/a\n');
    },
  );

  it('is refused while somebody has the volume', async () => {
    const pool = await openPool('main', room);
    await pool.coordination.attach('a', { readOnly: false });
    const { exitCode, err } = await run('delete main/a --yes');
    expect(exitCode).toBe(5);
    expect(err).toContain(`attached by process ${process.pid} on host`);
    await pool.close();
  });

  it('that was cut short is finished by the next command that changes something', async () => {
    const pool = await openPool('main', room);
    await pool.coordination.delete('a');
    const { exitCode, err } = await run('create main/b --size 1M');
    expect(exitCode).toBe(0);
    expect(err).toBe('finished the deletion of main/a, which had been cut short\n');
    expect(await pool.coordination.pendingDeletions()).toEqual([]);
  });
});

describe('pool', () => {
  it('list and info show it', async () => {
    await expectDone('create main/a --size 10G');
    expect(words(await expectDone('pool list'))).toEqual([
      ['NAME', 'STORE', 'COORDINATION', 'PATH'],
      ['main', 'dir', 'local', room.poolPath],
    ]);
    expect(await json('pool info main')).toMatchObject({
      name: 'main',
      store: 'dir',
      coordination: 'local',
      path: room.poolPath,
      volumes: 1,
      provisionedBytes: 10 * 2 ** 30,
      usedBytes: 0,
      freeBytes: expect.any(Number) as number,
    });
    expect(await expectDone('pool info main')).toMatch(/^provisioned +10 GiB$/m);
  });

  it('list tells of a damaged one, and shows the others', async () => {
    writeFileSync(join(room.directory, 'config/pools.d/bad.json'), '[]');
    const { exitCode, out, err } = await run('pool list');
    expect(exitCode).toBe(1);
    expect(err).toContain('bad.json is damaged');
    expect(words(out).map(([name]) => name)).toEqual(['NAME', 'main']);
  });

  it('delete wants --force for volumes, and then asks', async () => {
    await expectDone('create main/a --size 1M');
    expect((await run('pool delete main')).err).toContain('pool "main" has 1 volume;');
    expect((await run('pool delete main --force', ['no'])).exitCode).toBe(1);
    expect(await json('list')).toHaveLength(1);
    await expectDone('pool delete main --force');
    expect(await json('pool list')).toEqual([]);
  });

  it('delete --keep-data only forgets it', async () => {
    await expectDone('create main/a --size 1M');
    expect((await run('pool delete main --keep-data --force')).exitCode).toBe(2);
    await expectDone('pool delete main --keep-data');
    await expectDone(`pool create again --path ${room.poolPath} --existing`);
    expect(await json('list')).toMatchObject([{ pool: 'again', name: 'a' }]);
  });

  it('create refuses what it cannot use, each with a sentence', async () => {
    const ends = await Promise.all([
      run(`pool create main --path ${room.directory}/x`),
      run(`pool create b%c --path ${room.directory}/x`),
      run(`pool create b --path ${room.directory}/x --store ceph`),
      run(`pool create b --path ${room.directory}`),
    ]);
    expect(ends.map(({ exitCode }) => exitCode)).toEqual([4, 2, 1, 1]);
    for (const { err } of ends) expect(err).toMatch(/^tapdisk-ts: [^\n]+\n$/);
  });
});

it('completion knows pools and volumes', async () => {
  await expectDone('create main/disk1 --size 1M');
  await expectDone('create main/disk2 --size 1M');
  const complete = (line: string) => run(`--get-yargs-completions tapdisk-ts ${line}`);
  expect((await complete('info main/d')).out).toBe('main/disk1\nmain/disk2\n');
  expect((await complete('pool delete m')).out).toBe('main\n');
  expect((await complete('delete --')).out.split('\n').sort()).toEqual([
    '',
    '--help',
    '--json',
    '--yes',
  ]);
});
