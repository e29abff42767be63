/** Every reason for which a VBD refuses a request, and the edges that it accepts. */
import { SECTOR_BYTES } from '../../lib/sector';
import { heapArea } from '../../lib/store/memory-area';
import { checkRequest } from '../../lib/vbd/check-request';
import {
  REQUEST_BARRIER,
  REQUEST_DISCARD,
  REQUEST_FLUSH,
  REQUEST_READ,
  REQUEST_RUNS_MAX,
  REQUEST_WRITE,
  REQUEST_WRITE_ZEROES,
  STATUS_ERROR,
  STATUS_OKAY,
  VbdRequest,
} from '../../lib/vbd/request';

const SECTORS = 2 ** 34;
const MEMORY_SECTORS = 64;

function request(parts: Partial<VbdRequest>, runs?: readonly [number, number][]): VbdRequest {
  const made = Object.assign(new VbdRequest(0), {
    memory: heapArea(MEMORY_SECTORS * SECTOR_BYTES),
  });
  Object.assign(made, parts);
  const all = runs ?? [[0, made.sectorCount * SECTOR_BYTES]];
  made.runCount = parts.runCount ?? all.length;
  for (const [i, [offset, length]] of all.entries()) {
    made.runOffsets[i] = offset;
    made.runLengths[i] = length;
  }
  return made;
}

const plain = { operation: REQUEST_WRITE, sector: 8, sectorCount: 8 } as const;

test.each([
  ['a write', request(plain)],
  [
    'a read of the last sector',
    request({ operation: REQUEST_READ, sector: SECTORS - 1, sectorCount: 1 }),
  ],
  ['a discard of everything', request({ operation: REQUEST_DISCARD, sectorCount: SECTORS }, [])],
  [
    'a write of zeros to everything',
    request({ operation: REQUEST_WRITE_ZEROES, sectorCount: SECTORS }, []),
  ],
  [
    'a flush without data, whatever its sector',
    request({ operation: REQUEST_FLUSH, sector: 2 ** 60 }, []),
  ],
  ['a barrier without data', request({ operation: REQUEST_BARRIER }, [])],
  ['a barrier with data', request({ ...plain, operation: REQUEST_BARRIER })],
  [
    'runs that end with the memory',
    request(plain, [
      [60 * SECTOR_BYTES, 2048],
      [0, 2048],
    ]),
  ],
])('%s is accepted', (_, good) => {
  expect(checkRequest(good, SECTORS, false)).toBe(STATUS_OKAY);
});

test.each([
  ['no sectors', request({ ...plain, sectorCount: 0 }, [])],
  ['a negative count', request({ ...plain, sectorCount: -8 })],
  ['a fraction of a sector', request({ ...plain, sectorCount: 0.5 })],
  ['a count that is no number', request({ ...plain, sectorCount: NaN })],
  ['a negative sector', request({ ...plain, sector: -1 })],
  ['half a sector', request({ ...plain, sector: 0.5 })],
  ['a sector beyond 2^53', request({ ...plain, sector: 2 ** 53 })],
  ['a sector of Infinity', request({ ...plain, sector: Infinity })],
  ['an end beyond the disk', request({ ...plain, sector: SECTORS - 7 })],
  ['a start at the end', request({ ...plain, sector: SECTORS })],
  [
    'a discard beyond the disk',
    request({ operation: REQUEST_DISCARD, sector: 1, sectorCount: SECTORS }, []),
  ],
  ['a count near 2^53', request({ operation: REQUEST_DISCARD, sectorCount: 2 ** 53 - 1 }, [])],
  ['runs shorter than the sectors', request(plain, [[0, 7 * SECTOR_BYTES]])],
  [
    'runs longer than the sectors',
    request(plain, [
      [0, 8 * SECTOR_BYTES],
      [0, 1],
    ]),
  ],
  ['data without runs', request(plain, [])],
  [
    'a flush with data beyond the disk',
    request({ ...plain, operation: REQUEST_FLUSH, sector: SECTORS }),
  ],
  [
    'a barrier with data beyond the disk',
    request({ ...plain, operation: REQUEST_BARRIER, sector: SECTORS }),
  ],
  ['more runs than there can be', request({ ...plain, runCount: REQUEST_RUNS_MAX + 1 })],
  ['a run beyond its memory', request(plain, [[MEMORY_SECTORS * SECTOR_BYTES - 4095, 4096]])],
  ['a run before its memory', request(plain, [[-512, 4096]])],
  ['a run at no offset', request(plain, [[NaN, 4096]])],
])('%s is refused', (_, bad) => {
  expect(checkRequest(bad, SECTORS, false)).toBe(STATUS_ERROR);
});

test.each([
  ['a write', request(plain)],
  ['a discard', request({ operation: REQUEST_DISCARD, sectorCount: 8 }, [])],
  ['a write of zeros', request({ operation: REQUEST_WRITE_ZEROES, sectorCount: 8 }, [])],
  ['a flush with data', request({ ...plain, operation: REQUEST_FLUSH })],
  ['a barrier with data', request({ ...plain, operation: REQUEST_BARRIER })],
])('%s is refused on a read-only disk', (_, write) => {
  expect(checkRequest(write, SECTORS, true)).toBe(STATUS_ERROR);
});

test.each([
  ['a read', request({ ...plain, operation: REQUEST_READ })],
  ['a flush', request({ operation: REQUEST_FLUSH }, [])],
  ['a barrier', request({ operation: REQUEST_BARRIER }, [])],
])('%s is accepted on a read-only disk', (_, read) => {
  expect(checkRequest(read, SECTORS, true)).toBe(STATUS_OKAY);
});
