/** `tapdisk-ts trace …` and `tapdisk-ts replay`, as a user types them. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { ShmDevice } from '../../lib/frontend/shm/shm-device';
import { ShmFrontend } from '../../lib/frontend/shm/shm-frontend';
import { BLKTAP_GEOMETRY } from '../../lib/frontend/shm/shm-geometry';
import { FakeBlockDevice } from '../frontend/fake-block-device';
import { runCommand, type CommandRun } from './captured-io';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'tapdisk-ts-cli-trace-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const run = (...argv: string[]): Promise<CommandRun> =>
  runCommand(argv, { env: { TAPDISK_TS_RUNTIME_DIR: join(directory, 'run') } });
const at = (name: string): string => join(directory, name);

async function makeTrace(name: string, ...more: string[]): Promise<string> {
  const made = await run(
    'trace',
    'make',
    at(name),
    '--size',
    '2M',
    '--count',
    '300',
    '--chunk',
    '64k',
    ...more,
  );
  expect(made).toMatchObject({ exitCode: 0, err: '' });
  return at(name);
}

test('a trace is made up, summed up and printed', async () => {
  const trace = await makeTrace(
    'a.trace',
    '--read',
    '100',
    '--flush',
    '0',
    '--barrier',
    '0',
    '--discard',
    '0',
  );
  const info = await run('trace', 'info', trace, '--json');
  expect(JSON.parse(info.out)).toMatchObject({
    kind: 'tapdisk-ts',
    requests: 300,
    diskSectors: 4096,
    payload: 'none',
    operations: { read: { requests: 300 } },
  });
  expect((await run('trace', 'info', trace)).out).toMatch(/requests +300\nread +300 requests/);
  const cat = await run('trace', 'cat', trace, '--skip', '10', '--count', '2');
  expect(
    cat.out
      .split('\n')
      .slice(1, 3)
      .map((line) => line.split(' ')[0]),
  ).toEqual(['10', '11']);
  const lines = (await run('trace', 'cat', trace, '--json')).out.trim().split('\n');
  expect(lines.length).toBe(300);
  expect(JSON.parse(lines[299])).toMatchObject({ number: 299, operation: 'read', status: 0 });
});

test('a trace that is there is not overwritten', async () => {
  const trace = await makeTrace('a.trace');
  const again = await run('trace', 'make', trace, '--size', '2M');
  expect(again.exitCode).toBe(4);
  expect(again.err).toContain('exists already');
});

test('a blkreplay load is imported, and then is the same trace', async () => {
  const load = gzipSync(
    'start ; sector; length ; op\n0.5 ; 100 ; 8 ; W ; 0 ; 0\n0.75 ; 0 ; 4000 ; R ; 0 ; 0\n',
  );
  writeFileSync(at('x.load.gz'), load);
  expect(await run('trace', 'import', at('x.load.gz'), at('x.trace'))).toMatchObject({
    exitCode: 0,
  });
  const before = await run('trace', 'cat', at('x.load.gz'));
  const after = await run('trace', 'cat', at('x.trace'));
  expect(after.out.replace(/ [0-9]+ +0 +0 +-$/gm, '')).toBe(
    before.out.replace(/ [0-9]+ +0 +0 +-$/gm, ''),
  );
  expect((await run('trace', 'import', at('x.trace'), at('y.trace'))).exitCode).toBe(2);
});

test('a damaged trace is refused where it breaks', async () => {
  const trace = await makeTrace('a.trace');
  const whole = readFileSync(trace);
  writeFileSync(trace, whole.subarray(0, 1000));
  for (const command of [
    ['trace', 'info'],
    ['trace', 'cat'],
    ['replay', '--device', 'shm:/none'],
  ]) {
    const { exitCode, err } = await run(...command, trace);
    expect([command, exitCode]).toEqual([command, 8]);
    expect(err).toContain('truncated at byte offset 1000');
  }
});

describe('replay', () => {
  let ring: string;
  let disk: FakeBlockDevice;
  let backEnd: ShmFrontend;
  beforeEach(() => {
    ring = at('ring');
    ShmDevice.create(ring, BLKTAP_GEOMETRY);
    disk = new FakeBlockDevice({ sectors: 4096 });
    backEnd = ShmFrontend.open(ring, disk, { onStopped: () => undefined });
    backEnd.start();
  });
  afterEach(() => backEnd.close());
  const replay = (...more: string[]): Promise<CommandRun> =>
    run('replay', '--device', `shm:${ring}`, '--timeout', '5', ...more);

  test('verifies, and says so in its last line', async () => {
    const trace = await makeTrace('a.trace');
    const { exitCode, out, err } = await replay(trace, '--expect-zero');
    expect({ exitCode, err }).toEqual({ exitCode: 0, err: '' });
    expect(out).toMatch(/IOPS.*\nread back: .*\nerrors: 0, mismatches: 0\n$/);
  });

  test('tells a program everything', async () => {
    const trace = await makeTrace('a.trace');
    const { out } = await replay(trace, '--json', '--depth', '4', '--speed', '2.5', '--no-verify');
    expect(JSON.parse(out)).toMatchObject({
      mismatches: 0,
      readBack: null,
      replay: { end: 'done', position: 300, depth: 4, operations: { read: { errors: 0 } } },
    });
  });

  test('goes on where it was, and finds what was spoilt in between', async () => {
    const trace = await makeTrace('a.trace');
    const model = ['--model', at('disk.model')];
    const first = await replay(trace, '--count', '120', '--expect-zero', '--json', ...model);
    expect(JSON.parse(first.out)).toMatchObject({ replay: { position: 120 }, first: 0 });
    const second = await replay(trace, '--resume', '--json', ...model);
    expect(second.exitCode).toBe(0);
    expect(JSON.parse(second.out)).toMatchObject({ replay: { position: 300 }, first: 120 });
    disk.disk.fill(0);
    const third = await replay(trace, '--resume', ...model);
    expect(third.exitCode).toBe(1);
    expect(third.err).toContain('is lost: expected write');
    expect(third.out).toMatch(/mismatches: [1-9]/);
  });

  test.each<[string, string[], number, string]>([
    ['--model without a disk that stays', ['--model', 'm'], 2, '--model needs a disk that stays'],
    ['both', ['--device', 'shm:/a', '--volume', 'a/b'], 2, 'mutually exclusive'],
    ['a kernel device', ['--device', '/dev/xen/blktap0'], 1, 'is not a stand-in ring'],
    ['a volume that nobody serves', ['--volume', 'a/b'], 3, 'No running process'],
    [
      'a wrong speed',
      ['--device', 'shm:/a', '--speed', 'fast'],
      2,
      '--speed must be full, recorded',
    ],
    [
      'a wrong depth',
      ['--device', 'shm:/a', '--depth', '0'],
      2,
      '--depth must be a whole number from 1 to 1024',
    ],
    ['--resume without --model', ['--device', 'shm:/a', '--resume'], 2, 'resume -> model'],
  ])('refuses %s', async (_, options, exitCode, words) => {
    const trace = await makeTrace('a.trace');
    const refused = await run('replay', trace, ...options);
    expect(refused.err).toContain(words);
    expect(refused.exitCode).toBe(exitCode);
  });

  test('refuses a trace that is too large for the disk before it begins', async () => {
    const made = await run('trace', 'make', at('b.trace'), '--size', '4M', '--count', '300');
    expect(made.exitCode).toBe(0);
    const refused = await replay(at('b.trace'));
    expect(refused.err).toMatch(/reaches up to sector \d+, and the disk has 4096 sectors/);
    expect(disk.seen).toEqual([]);
  });

  test('refuses a model of another disk or another trace', async () => {
    const trace = await makeTrace('a.trace');
    const model = ['--model', at('disk.model')];
    expect((await replay(trace, '--count', '10', ...model)).exitCode).toBe(0);
    const other = await makeTrace('b.trace', '--count', '301');
    expect((await replay(other, '--resume', ...model)).err).toContain('of a trace of 300 requests');
  });

  test('ends with a code of its own when the back end is gone', async () => {
    const trace = await makeTrace('a.trace');
    disk.manual = true;
    const { exitCode, err } = await replay(trace, '--timeout', '0.3', '--model', at('m'));
    expect(exitCode).toBe(6);
    expect(err).toMatch(/the back end is gone: .*; 0 of 300 requests .*--resume goes on/);
    disk.manual = false;
    disk.completeAll();
    expect((await replay(trace, '--model', at('m'), '--resume')).exitCode).toBe(0);
  });
});
