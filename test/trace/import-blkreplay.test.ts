/** Goal: text traces of blkreplay are read as they are meant, and bad ones refused by line. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { openTrace } from '../../lib/trace/open-trace';
import { testWhere } from '../where';
import { readWhole, RECORDED_TRACES, withDirectory } from './fixtures';

const NOTICE = 'Somebody owns this\n\nPLEASE keep it\n###\n';
const COLUMNS = 'start ; sector; length ; op ;  replay_delay=0 ; replay_duration=0\n';
const REQUESTS =
  '      0.000000000 ;      6293576 ;    8 ; W ; 0.0 ; 0.0\n' +
  '      2.110378217 ;      6064504 ;  488 ; R ; 0.0 ; 0.0\n' +
  '3;9007199254740000;1;RA;0.0;0.0';

const EXPECTED = [
  [0, 1, 6293576, 8],
  [2110378, 0, 6064504, 488],
  [3000000, 0, 9007199254740000, 1],
];

async function read(path: string): Promise<number[][]> {
  const records = await readWhole(await openTrace(path));
  return records.map((r) => [r.timeUs, r.operation, r.sector, r.sectorCount]);
}

test.each([
  ['with its notice', Buffer.from(NOTICE + COLUMNS + REQUESTS)],
  ['compressed', gzipSync(NOTICE + COLUMNS + REQUESTS)],
  ['of requests alone', Buffer.from(REQUESTS + '\n')],
])('a load %s is told by its content', async (_, bytes) => {
  await withDirectory(async (directory) => {
    const path = join(directory, 'some-name');
    writeFileSync(path, bytes);
    expect(await read(path)).toEqual(EXPECTED);
    expect((await openTrace(path)).kind).toBe('blkreplay');
    expect(await (await openTrace(path)).summary()).toMatchObject({
      requests: 3,
      sectorsNeeded: 9007199254740001,
    });
  });
});

test.each([
  ['words', 'and so on', 'TRACE_BAD_LINE'],
  ['an unknown operation', '4.0 ; 8 ; 8 ; X ; 0.0 ; 0.0', 'TRACE_BAD_LINE'],
  ['a negative sector', '4.0 ; -8 ; 8 ; R ; 0.0 ; 0.0', 'TRACE_BAD_LINE'],
  ['no sectors', '4.0 ; 8 ; 0 ; R ; 0.0 ; 0.0', 'TRACE_BAD_LINE'],
  ['sectors beyond 2^53', '4.0 ; 9007199254740991 ; 1 ; R ; 0.0 ; 0.0', 'TRACE_BAD_LINE'],
  ['a time beyond 2^53 µs', '9999999999999.0 ; 8 ; 1 ; R ; 0.0 ; 0.0', 'TRACE_BAD_LINE'],
])('%s in line 8 are refused by the line', async (_, line, code) => {
  await withDirectory(async (directory) => {
    const path = join(directory, 'bad.load');
    const good = REQUESTS.split('\n').slice(0, 2).join('\n') + '\n';
    writeFileSync(path, NOTICE + COLUMNS + good + line + '\n' + good);
    await expect(read(path)).rejects.toMatchObject({
      code,
      message: expect.stringContaining(`${path}, line 8:`) as string,
    });
  });
});

test('an endless line is refused', async () => {
  await withDirectory(async (directory) => {
    const path = join(directory, 'endless.load');
    writeFileSync(path, COLUMNS + 'x'.repeat(200_000));
    await expect(read(path)).rejects.toMatchObject({ code: 'TRACE_BAD_LINE' });
  });
});

test('a gzip stream that is cut off or damaged is refused', async () => {
  await withDirectory(async (directory) => {
    const path = join(directory, 'cut.load.gz');
    const lines = Array.from({ length: 50_000 }, (_, i) => `${i}.5 ; ${i * 977} ; 8 ; W ; 0 ; 0`);
    const whole = gzipSync(COLUMNS + lines.join('\n'));
    writeFileSync(path, whole.subarray(0, whole.length - 1000));
    await expect(read(path)).rejects.toMatchObject({
      code: 'TRACE_TRUNCATED',
      message: expect.stringMatching(/offset \d+/) as string,
    });
    const damaged = Buffer.from(whole);
    damaged.fill(0xff, whole.length - 2000, whole.length - 1000);
    writeFileSync(path, damaged);
    await expect(read(path)).rejects.toMatchObject({ code: 'TRACE_CORRUPT' });
  });
});

describe('a trace recorded on a real server', () => {
  const path = join(RECORDED_TRACES, 'windows-shared-server.load.gz');
  const absence = existsSync(path) ? null : `there is no ${path} (set TAPDISK_TS_TRACES)`;

  testWhere(absence, 'a recorded trace')('is read whole', async () => {
    expect(readFileSync(path).length).toBeGreaterThan(0);
    const records = await read(path);
    expect(records).toHaveLength(1371);
    expect(records.every(([, operation]) => operation === 1)).toBe(true);
    expect(await (await openTrace(path)).summary()).toMatchObject({ sectorsNeeded: 6293920 });
  });
});
