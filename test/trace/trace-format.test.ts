/**
 * Goal: a trace reads back exactly as it was written, and a damaged one never reads back wrong.
 * Method: round trips of arbitrary records; then one small trace, cut at every length and damaged
 * at every byte.
 */
import fc from 'fast-check';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { TapdiskError } from '../../lib/errors';
import { BLOCK_RECORDS_MAX } from '../../lib/trace/limits';
import { openTrace } from '../../lib/trace/open-trace';
import { TraceReader } from '../../lib/trace/trace-reader';
import { TraceWriter } from '../../lib/trace/trace-writer';
import { readWhole, recordArbitrary, toRecord, withDirectory, type PlainRecord } from './fixtures';

async function writeTrace(path: string, records: PlainRecord[], sectors = 0): Promise<void> {
  const writer = await TraceWriter.create(path, { payload: 'full', sectors, startedAtMs: 12345 });
  for (const record of records) await writer.write(toRecord(record));
  expect(await writer.close()).toBe(records.length);
}

/** A few records, the same each time; one has a payload of one sector. */
const SMALL: PlainRecord[] = [
  ...fc
    .sample(recordArbitrary, { numRuns: 20, seed: 7 })
    .filter((record) => record.payloadKind !== 2 && record.segments.length < 12)
    .slice(0, 8),
  {
    timeUs: 5,
    latencyUs: 70,
    ringId: 1,
    operation: 1,
    forceUnitAccess: false,
    status: 0,
    sector: 77,
    sectorCount: 1,
    segments: [[3, 3]],
    payloadKind: 2,
    payload: Buffer.alloc(512, 0xa5).toString('hex'),
  },
];

/** Every position of the trace; of the payload's bytes, which are all alike, every 16th. */
function positions(whole: Buffer): number[] {
  const payload = whole.indexOf(Buffer.alloc(512, 0xa5));
  expect(payload).toBeGreaterThan(0);
  return [...whole.keys()].filter((at) => at < payload || at >= payload + 512 || at % 16 === 0);
}

/** Hundreds of files are written: on a busy machine that takes its time. */
const MANY_FILES_TIMEOUT_MS = 60_000;

async function refusalOf(work: Promise<unknown>): Promise<TapdiskError | null> {
  try {
    await work;
    return null;
  } catch (error) {
    if (!(error instanceof TapdiskError)) throw error;
    return error;
  }
}

/** The prefix that could be read, and how reading ended. */
async function readBroken(path: string): Promise<[PlainRecord[], TapdiskError | null]> {
  const records: PlainRecord[] = [];
  const refusal = await refusalOf(
    (async () => {
      const source = await openTrace(path);
      const part = source.batches()[Symbol.asyncIterator]();
      for (let next = await part.next(); !next.done; next = await part.next()) {
        records.push(...(await readWhole({ ...source, batches: () => only(next.value) })));
      }
    })(),
  );
  return [records, refusal];
}

async function* only<T>(value: T): AsyncGenerator<T> {
  yield value;
}

const offsetIn = (message: string): number => Number(/offset (\d+)/.exec(message)?.[1]);

test('any records read back as they were written', async () => {
  await withDirectory(async (directory) => {
    let run = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(recordArbitrary, { maxLength: 40 }), async (records) => {
        const path = join(directory, `${run++}.trace`);
        await writeTrace(path, records, 4096);
        const source = await openTrace(path);
        expect(source.kind).toBe('tapdisk-ts');
        expect(await readWhole(source)).toEqual(records);
        const served = records.filter((r) => r.status === 0 && r.sectorCount > 0);
        expect(await source.summary()).toEqual({
          requests: records.length,
          sectorsNeeded: Math.max(0, ...served.map((r) => r.sector + r.sectorCount)),
          diskSectors: 4096,
          payload: 'full',
          startedAtMs: 12345,
          endReason: 'stopped',
        });
      }),
      { numRuns: 60 },
    );
  });
});

test('a trace of several blocks can be read from any record on', async () => {
  await withDirectory(async (directory) => {
    const path = join(directory, 'long.trace');
    const count = BLOCK_RECORDS_MAX * 2 + 10;
    const records = Array.from({ length: count }, (_, i): PlainRecord => ({
      ...SMALL[0],
      payloadKind: 0,
      payload: 0,
      timeUs: i,
      sector: (i * 7919) % 100_000,
    }));
    await writeTrace(path, records);
    const source = await TraceReader.open(path);
    for (const skip of [0, 1, BLOCK_RECORDS_MAX, count - 1, count, count + 5]) {
      const times = (await readWhole(source, skip)).map((record) => record.timeUs);
      expect(times.join()).toBe(
        Array.from({ length: Math.max(0, count - skip) }, (_, i) => skip + i).join(),
      );
    }
  });
});

test('a trace takes few bytes a request', async () => {
  await withDirectory(async (directory) => {
    const path = join(directory, 'small.trace');
    const records = Array.from({ length: 1000 }, (_, i): PlainRecord => ({
      ...SMALL[0],
      operation: 1,
      forceUnitAccess: false,
      status: 0,
      ringId: 0,
      timeUs: i * 50,
      latencyUs: 120,
      sector: i * 8,
      sectorCount: 8,
      segments: [[0, 7]],
      payloadKind: 1,
      payload: i,
    }));
    await writeTrace(path, records);
    expect(readFileSync(path).length / 1000).toBeLessThan(12);
  });
});

test(
  'cut at any length, a trace is refused as truncated there and nothing false is read',
  async () => {
    await withDirectory(async (directory) => {
      const path = join(directory, 'cut.trace');
      await writeTrace(path, SMALL);
      const whole = readFileSync(path);
      for (const length of positions(whole)) {
        writeFileSync(path, whole.subarray(0, length));
        const [records, refusal] = await readBroken(path);
        const code = length === 0 ? 'TRACE_NOT_A_TRACE' : 'TRACE_TRUNCATED';
        expect([length, refusal?.code]).toEqual([length, code]);
        expect([length, offsetIn(refusal?.message ?? '')]).toEqual([length, length]);
        expect(records).toEqual(SMALL.slice(0, records.length));
      }
    });
  },
  MANY_FILES_TIMEOUT_MS,
);

test(
  'damaged at any byte, a trace is refused with an offset and nothing false is read',
  async () => {
    await withDirectory(async (directory) => {
      const path = join(directory, 'damaged.trace');
      await writeTrace(path, SMALL);
      const whole = readFileSync(path);
      for (const at of positions(whole)) {
        const damaged = Buffer.from(whole);
        damaged[at] ^= 1 << (at % 8);
        writeFileSync(path, damaged);
        const [records, refusal] = await readBroken(path);
        expect([at, refusal?.code ?? 'read without refusal']).toEqual([
          at,
          expect.stringMatching(
            /^TRACE_(CORRUPT|TRUNCATED|VERSION_UNKNOWN|NOT_A_TRACE)$/,
          ) as string,
        ]);
        expect(offsetIn(refusal?.message ?? '')).toBeLessThanOrEqual(whole.length);
        expect(records).toEqual(SMALL.slice(0, records.length));
      }
    });
  },
  MANY_FILES_TIMEOUT_MS,
);

test('bytes after the end marker are refused', async () => {
  await withDirectory(async (directory) => {
    const path = join(directory, 'longer.trace');
    await writeTrace(path, SMALL);
    const whole = readFileSync(path);
    writeFileSync(path, Buffer.concat([whole, Buffer.from([0])]));
    const [, refusal] = await readBroken(path);
    expect(refusal?.code).toBe('TRACE_CORRUPT');
    expect(refusal?.message).toContain(`offset ${whole.length}`);
  });
});

test('a block that was cut out is missed', async () => {
  await withDirectory(async (directory) => {
    const path = join(directory, 'hole.trace');
    const flush: PlainRecord = {
      ...SMALL[0],
      sectorCount: 0,
      segments: [],
      payloadKind: 0,
      payload: 0,
    };
    await writeTrace(
      path,
      Array.from({ length: BLOCK_RECORDS_MAX + 1 }, () => flush),
    );
    const whole = readFileSync(path);
    const second = 64 + 32 + whole.readUInt32LE(64 + 4);
    writeFileSync(path, Buffer.concat([whole.subarray(0, 64), whole.subarray(second)]));
    const refusal = await refusalOf(readWhole(await openTrace(path)));
    expect(refusal?.code).toBe('TRACE_CORRUPT');
    expect(refusal?.message).toContain('begins with record 4096 where record 0 is due');
  });
});

test('a later version is refused by its number', async () => {
  await withDirectory(async (directory) => {
    const path = join(directory, 'later.trace');
    await writeTrace(path, SMALL);
    const whole = readFileSync(path);
    whole.writeUInt32LE(2, 8);
    whole.writeUInt32LE(crc32(whole.subarray(0, 60)), 60);
    writeFileSync(path, whole);
    const refusal = await refusalOf(openTrace(path));
    expect(refusal?.code).toBe('TRACE_VERSION_UNKNOWN');
    expect(refusal?.message).toContain('format version 2');
  });
});

test('a file of another kind, and a missing one, are refused by their names', async () => {
  await withDirectory(async (directory) => {
    const path = join(directory, 'picture.png');
    writeFileSync(path, Buffer.from([0x89, 0x50, 0x4e, 0x47, 1, 2, 3]));
    const refusal = await refusalOf(openTrace(path));
    expect(refusal?.code).toBe('TRACE_NOT_A_TRACE');
    expect(refusal?.message).toContain(path);
    const missing = await refusalOf(openTrace(join(directory, 'nowhere')));
    expect(missing?.code).toBe('TRACE_READ_FAILED');
    expect(missing?.message).toContain('ENOENT');
  });
});

test('an existing file is never overwritten, and an impossible path is refused', async () => {
  await withDirectory(async (directory) => {
    const path = join(directory, 'kept');
    writeFileSync(path, 'dear');
    const refusal = await refusalOf(writeTrace(path, []));
    expect(refusal?.code).toBe('TRACE_EXISTS');
    expect(readFileSync(path, 'utf8')).toBe('dear');
    const nowhere = await refusalOf(writeTrace(join(directory, 'no/such/place'), []));
    expect(nowhere?.code).toBe('TRACE_WRITE_FAILED');
  });
});
