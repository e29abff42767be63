/**
 * Goal: what a VBD did is in its trace; a disk that is full or slow ends the recording, no more.
 * Method: requests made by hand, and files that fail.
 */
import { randomBytes } from 'node:crypto';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { heapArea } from '../../lib/store/memory-area';
import { RECORDER_BUFFERS, RECORD_PAYLOAD_BYTES_MAX } from '../../lib/trace/limits';
import { openTrace } from '../../lib/trace/open-trace';
import { loadPayloadHash } from '../../lib/trace/payload-hash';
import { TraceRecorder, type RecorderOptions } from '../../lib/trace/recorder';
import type { OpenTraceFile } from '../../lib/trace/trace-file';
import { VbdRequest, type RequestOperation } from '../../lib/vbd/request';
import { readWhole, withDirectory } from './fixtures';

// Thousands of requests: on a busy machine that takes its time.
jest.setTimeout(60_000);

const PAGE = 4096;
const memory = heapArea(2 * 1024 * 1024);
memory.bytes.set(randomBytes(64 * 1024));

function request(
  slot: number,
  operation: RequestOperation,
  sector: number,
  runs: [offset: number, length: number][],
): VbdRequest {
  const made = new VbdRequest(slot);
  made.operation = operation;
  made.sector = sector;
  made.memory = memory;
  made.runCount = runs.length;
  runs.forEach(([offset, length], run) => {
    made.runOffsets[run] = offset;
    made.runLengths[run] = length;
    made.sectorCount += length / 512;
  });
  return made;
}

function payloadOf(made: VbdRequest): Buffer {
  const parts = [];
  for (let run = 0; run < made.runCount; run++) {
    const offset = made.runOffsets[run];
    parts.push(memory.bytes.subarray(offset, offset + made.runLengths[run]));
  }
  return Buffer.concat(parts);
}

function run(recorder: TraceRecorder, made: VbdRequest, latencyUs = 100): void {
  recorder.requestStarted(made);
  recorder.requestEnded(made, latencyUs);
}

function start(path: string, options: Partial<RecorderOptions> = {}): Promise<TraceRecorder> {
  return TraceRecorder.start({ path, payload: 'hash', sectors: 1000, ...options });
}

test('requests are in the trace as they ran, with the hash of their data', async () => {
  await withDirectory(async (directory) => {
    const path = join(directory, 'a.trace');
    const hash = await loadPayloadHash();
    const recorder = await start(path);
    const write = request(3, 1, 100, [
      [PAGE + 1024, 3 * 512],
      [PAGE * 2, PAGE + 512],
    ]);
    const written = hash(payloadOf(write));
    recorder.requestStarted(write);
    const read = request(4, 0, 50, [[PAGE * 8, PAGE]]);
    recorder.requestStarted(read);
    // The guest may change its pages as soon as it pleases; a read's are filled by now.
    memory.bytes.fill(7, PAGE, PAGE * 2);
    memory.bytes.fill(8, PAGE * 8, PAGE * 9);
    recorder.requestEnded(read, 30);
    write.forceUnitAccess = true;
    recorder.requestEnded(write, 250.4);
    const refused = request(5, 0, 999, [[0, PAGE]]);
    refused.status = -1;
    run(recorder, refused);
    run(recorder, request(6, 3, 0, []));
    const discard = request(7, 5, 8, []);
    discard.sectorCount = 640;
    run(recorder, discard);
    expect(await recorder.stop()).toEqual({ path, requests: 5, endReason: 'stopped' });

    const common = {
      ringId: 0,
      forceUnitAccess: false,
      status: 0,
      timeUs: expect.any(Number) as number,
    };
    const records = await readWhole(await openTrace(path));
    expect(records).toEqual([
      {
        ...common,
        operation: 0,
        sector: 50,
        sectorCount: 8,
        segments: [[0, 7]],
        latencyUs: 30,
        payloadKind: 1,
        payload: hash(Buffer.alloc(PAGE, 8)),
      },
      {
        ...common,
        operation: 1,
        sector: 100,
        sectorCount: 12,
        segments: [
          [2, 4],
          [0, 7],
          [0, 0],
        ],
        latencyUs: 250,
        forceUnitAccess: true,
        payloadKind: 1,
        payload: written,
      },
      {
        ...common,
        operation: 0,
        sector: 999,
        sectorCount: 8,
        segments: [[0, 7]],
        latencyUs: 100,
        status: -1,
        payloadKind: 0,
        payload: 0,
      },
      {
        ...common,
        operation: 3,
        sector: 0,
        sectorCount: 0,
        segments: [],
        latencyUs: 100,
        payloadKind: 0,
        payload: 0,
      },
      {
        ...common,
        operation: 5,
        sector: 8,
        sectorCount: 640,
        segments: [],
        latencyUs: 100,
        payloadKind: 0,
        payload: 0,
      },
    ]);
  });
});

test('with payloads, the data itself is there, as it was when the write began', async () => {
  await withDirectory(async (directory) => {
    const path = join(directory, 'a.trace');
    const recorder = await start(path, { payload: 'full' });
    const writes = [0, 1, 2].map((slot) => request(slot, 1, slot * 8, [[slot * PAGE, PAGE]]));
    const expected = writes.map((write) => payloadOf(write).toString('hex'));
    for (const write of writes) recorder.requestStarted(write);
    memory.bytes.fill(1, 0, PAGE * 3);
    for (const write of writes.slice().reverse()) recorder.requestEnded(write, 1);
    const large = request(0, 0, 0, [[0, RECORD_PAYLOAD_BYTES_MAX]]);
    run(recorder, large);
    run(recorder, request(0, 0, 0, [[0, RECORD_PAYLOAD_BYTES_MAX + 512]]));
    await recorder.stop();
    const records = await readWhole(await openTrace(path));
    expect(records.slice(0, 3).map((r) => r.payload)).toEqual(expected.reverse());
    expect(records[3].payload).toBe(payloadOf(large).toString('hex'));
    expect(records[4].payloadKind).toBe(0);
  });
});

test('requests that began before the recording, or end after it, are left out', async () => {
  await withDirectory(async (directory) => {
    const path = join(directory, 'a.trace');
    const recorder = await start(path, { payload: 'none' });
    recorder.requestEnded(request(1, 1, 0, [[0, PAGE]]), 10);
    const late = request(2, 1, 0, [[0, PAGE]]);
    recorder.requestStarted(late);
    run(recorder, request(3, 1, 16, [[0, PAGE]]));
    const stopped = recorder.stop();
    recorder.requestEnded(late, 10);
    run(recorder, request(4, 1, 24, [[0, PAGE]]));
    expect((await stopped).requests).toBe(1);
    const records = await readWhole(await openTrace(path));
    expect(records.map((r) => [r.sector, r.payloadKind])).toEqual([[16, 0]]);
  });
});

test('many requests are all there', async () => {
  await withDirectory(async (directory) => {
    const path = join(directory, 'a.trace');
    const recorder = await start(path);
    for (let n = 0; n < 10_000; n++) {
      run(recorder, request(n % 32, 1, n, [[0, 512]]));
      if (n % 2000 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    expect((await recorder.stop()).requests).toBe(10_000);
    const records = await readWhole(await openTrace(path));
    expect(records.every((record, n) => record.sector === n)).toBe(true);
  });
});

/** A file that takes `limitBytes`, or that waits for `until` before it writes at all. */
function failingFile(limitBytes: number, until: Promise<void> = Promise.resolve()): OpenTraceFile {
  return async (path, flags, mode) => {
    const handle = await open(path, flags, mode);
    let headerWritten = false;
    return {
      async write(bytes, offset, length, position) {
        if (headerWritten) await until;
        headerWritten = true;
        const room = limitBytes - position;
        if (room <= 0) {
          throw Object.assign(new Error('ENOSPC: no space left on device, write'), {
            code: 'ENOSPC',
          });
        }
        return handle.write(bytes, offset, Math.min(length, room), position);
      },
      truncate: (lengthBytes) => handle.truncate(lengthBytes),
      close: () => handle.close(),
    };
  };
}

test('a full disk ends the recording with its reason, and what fitted can be read', async () => {
  await withDirectory(async (directory) => {
    const path = join(directory, 'a.trace');
    const heard: string[] = [];
    const recorder = await start(path, {
      payload: 'full',
      openFile: failingFile(5_000_000),
      onEnded: (reason) => heard.push(reason.code),
    });
    for (let n = 0; n < 4000; n++) {
      run(recorder, request(n % 32, 1, n * 8, [[0, PAGE]]));
      if (n % 100 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    }
    const recording = await recorder.stop();
    expect(recording.endReason).toBe('write-error');
    expect(recorder.failure?.message).toContain('no space left');
    expect(heard).toEqual(['TRACE_WRITE_FAILED']);
    const source = await openTrace(path);
    expect(await source.summary()).toMatchObject({
      requests: recording.requests,
      endReason: 'write-error',
    });
    const records = await readWhole(source);
    expect(records.length).toBe(recording.requests);
    expect(records.length).toBeGreaterThan(500);
    expect(records.every((record, n) => record.sector === n * 8)).toBe(true);
  });
});

test('a disk that cannot keep up ends the recording, and the guest never waits', async () => {
  await withDirectory(async (directory) => {
    const path = join(directory, 'a.trace');
    let release = (): void => {};
    const until = new Promise<void>((resolve) => (release = resolve));
    const heard: string[] = [];
    const recorder = await start(path, {
      payload: 'full',
      openFile: failingFile(Infinity, until),
      onEnded: (reason) => heard.push(reason.code),
    });
    const large = request(1, 1, 0, [[0, RECORD_PAYLOAD_BYTES_MAX]]);
    for (let n = 0; n < RECORDER_BUFFERS * 2 + 10; n++) run(recorder, large);
    expect(heard).toEqual(['TRACE_OVERLOADED']);
    release();
    const recording = await recorder.stop();
    expect(recording).toMatchObject({ requests: RECORDER_BUFFERS * 2, endReason: 'overloaded' });
    expect((await readWhole(await openTrace(path))).length).toBe(recording.requests);
  });
});

test('a request whose runs do not add up, or beyond 2^53, harms nothing', async () => {
  await withDirectory(async (directory) => {
    const path = join(directory, 'a.trace');
    const recorder = await start(path, { payload: 'full' });
    const odd = request(1, 1, 5, [[0, 512]]);
    odd.sectorCount = 9;
    run(recorder, odd);
    run(recorder, request(1, 1, Number.MAX_SAFE_INTEGER - 1, [[0, PAGE]]));
    run(recorder, request(1_000_000, 1, 5, [[0, 512]]));
    run(recorder, request(1, 1, 7, [[100, 512]]));
    await recorder.stop();
    const records = await readWhole(await openTrace(path));
    expect(records.map((r) => [r.sector, r.sectorCount, r.segments.length, r.payloadKind])).toEqual(
      [
        [5, 9, 0, 0],
        [7, 1, 0, 2],
      ],
    );
  });
});
