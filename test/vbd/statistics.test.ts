/** Counts by operation, and latencies by class. */
import {
  REQUEST_BARRIER,
  REQUEST_DISCARD,
  REQUEST_FLUSH,
  REQUEST_READ,
  REQUEST_WRITE,
  REQUEST_WRITE_ZEROES,
  STATUS_ERROR,
  type RequestOperation,
  VbdRequest,
} from '../../lib/vbd/request';
import { VbdStatistics } from '../../lib/vbd/statistics';

function request(operation: RequestOperation, sectorCount = 8): VbdRequest {
  return Object.assign(new VbdRequest(0), { operation, sectorCount });
}

test('each operation has its counters', () => {
  const statistics = new VbdStatistics();
  statistics.add(request(REQUEST_READ), 10);
  statistics.add(Object.assign(request(REQUEST_READ, 3), { status: STATUS_ERROR }), 10);
  statistics.add(request(REQUEST_WRITE), 10);
  statistics.add(request(REQUEST_BARRIER), 10);
  statistics.add(request(REQUEST_WRITE_ZEROES), 10);
  statistics.add(request(REQUEST_FLUSH, 0), 10);
  statistics.add(request(REQUEST_DISCARD, 100), 10);
  const { read, write, flush, discard } = statistics.snapshot();
  expect(read).toMatchObject({ requests: 2, sectors: 11, errors: 1 });
  expect(write).toMatchObject({ requests: 3, sectors: 24, errors: 0 });
  expect(flush).toMatchObject({ requests: 1, sectors: 0 });
  expect(discard).toMatchObject({ requests: 1, sectors: 100 });
});

test('percentiles are upper bounds within a factor of two', () => {
  const statistics = new VbdStatistics();
  for (let us = 1; us <= 1000; us++) statistics.add(request(REQUEST_READ), us);
  const { read } = statistics.snapshot();
  expect(read.latencyUsP50).toBeGreaterThanOrEqual(500);
  expect(read.latencyUsP50).toBeLessThanOrEqual(1000);
  expect(read.latencyUsP99).toBeGreaterThanOrEqual(990);
  expect(read.latencyUsP99).toBeLessThanOrEqual(1000);
  expect(read.latencyUsMax).toBe(1000);
});

test('a latency of hours is the slowest, not the fastest', () => {
  const statistics = new VbdStatistics();
  const hoursUs = 2 ** 33 + 5;
  statistics.add(request(REQUEST_READ), hoursUs);
  expect(statistics.snapshot().read.latencyUsP50).toBeGreaterThanOrEqual(2 ** 32);
  expect(statistics.snapshot().read.latencyUsMax).toBe(hoursUs);
});

test('without requests all is 0', () => {
  expect(new VbdStatistics().snapshot().write).toEqual({
    requests: 0,
    sectors: 0,
    errors: 0,
    latencyUsP50: 0,
    latencyUsP99: 0,
    latencyUsMax: 0,
  });
});
