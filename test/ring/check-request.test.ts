import fc from 'fast-check';
import {
  ABI_NATIVE,
  ABI_X86_32,
  BLKIF_OP_DISCARD,
  BLKIF_OP_FLUSH_DISKCACHE,
  BLKIF_OP_INDIRECT,
  BLKIF_OP_READ,
  BLKIF_OP_WRITE,
  BLKIF_OP_WRITE_BARRIER,
  BLKIF_RSP_EOPNOTSUPP,
  BLKIF_RSP_ERROR,
  BLKIF_RSP_OKAY,
  checkHeader,
  checkRequest,
  RingRequest,
  type RequestLimits,
} from '../../lib/ring';
import { runs } from './property-options';

const OKAY = BLKIF_RSP_OKAY;
const ERROR = BLKIF_RSP_ERROR;
const EOPNOTSUPP = BLKIF_RSP_EOPNOTSUPP;

const ALL: RequestLimits = {
  sectors: 1000,
  indirectSegmentsMax: 256,
  discard: true,
  flush: true,
  barrier: true,
};
const NOTHING: RequestLimits = {
  sectors: 1000,
  indirectSegmentsMax: 0,
  discard: false,
  flush: false,
  barrier: false,
};
const READ_ONLY: RequestLimits = { ...ALL, readOnly: true };

/** A request whose segments are all `first` to `last`. */
function request(
  operation: number,
  nrSegments: number,
  fields: Partial<RingRequest> = {},
  first = 0,
  last = 7,
): RingRequest {
  const one = new RingRequest();
  one.operation = operation;
  one.nrSegments = nrSegments;
  one.segmentCount = Math.min(nrSegments, operation === BLKIF_OP_INDIRECT ? 256 : 11);
  one.firstSect.fill(first);
  one.lastSect.fill(last);
  return Object.assign(one, fields);
}

const DATA = [
  ['READ', BLKIF_OP_READ],
  ['WRITE', BLKIF_OP_WRITE],
  ['WRITE_BARRIER', BLKIF_OP_WRITE_BARRIER],
  ['FLUSH_DISKCACHE', BLKIF_OP_FLUSH_DISKCACHE],
] as const;

describe.each(DATA)('%s', (_name, operation) => {
  test.each([
    ['one sector, the first', 1, { sector: 0 }, 0, 0, OKAY, 1],
    ['one sector, the last', 1, { sector: 999 }, 7, 7, OKAY, 1],
    ['one sector, behind the last', 1, { sector: 1000 }, 7, 7, ERROR, 0],
    ['eleven pages up to the end', 11, { sector: 912 }, 0, 7, OKAY, 88],
    ['eleven pages one beyond the end', 11, { sector: 913 }, 0, 7, ERROR, 0],
    ['segments that begin inside their pages', 3, { sector: 0 }, 2, 4, OKAY, 9],
    ['12 segments', 12, { sector: 0 }, 0, 7, ERROR, 0],
    ['255 segments', 255, { sector: 0 }, 0, 7, ERROR, 0],
    ['first_sect behind last_sect', 1, { sector: 0 }, 5, 4, ERROR, 0],
    ['last_sect 8', 1, { sector: 0 }, 0, 8, ERROR, 0],
    ['last_sect 255', 1, { sector: 0 }, 0, 255, ERROR, 0],
    ['both outside the page', 1, { sector: 0 }, 8, 8, ERROR, 0],
    ['a sector of 2^53 - 1', 1, { sector: Number.MAX_SAFE_INTEGER }, 0, 0, ERROR, 0],
    [
      'a sector near 2^64',
      1,
      { sector: Number.MAX_SAFE_INTEGER, sectorOverflow: true },
      0,
      0,
      ERROR,
      0,
    ],
  ])('%s', (_case, nrSegments, fields, first, last, status, totalSectors) => {
    const one = request(operation, nrSegments, fields, first, last);
    expect(checkRequest(one, ALL)).toBe(status);
    expect(one.totalSectors).toBe(totalSectors);
  });

  test('only the last of eleven segments is bad', () => {
    const one = request(operation, 11);
    one.lastSect[10] = 8;
    expect(checkRequest(one, ALL)).toBe(ERROR);
    one.lastSect[10] = 6;
    one.firstSect[10] = 7;
    expect(checkRequest(one, ALL)).toBe(ERROR);
  });

  test('bytes behind the last segment are nobody’s', () => {
    const one = request(operation, 2);
    one.lastSect[2] = 200;
    expect(checkRequest(one, ALL)).toBe(OKAY);
    expect(one.totalSectors).toBe(16);
  });
});

test('a disk of no sectors, and one as large as can be', () => {
  const one = request(BLKIF_OP_READ, 1, {}, 0, 0);
  expect(checkRequest(one, { ...ALL, sectors: 0 })).toBe(ERROR);
  const huge = { ...ALL, sectors: Number.MAX_SAFE_INTEGER };
  one.sector = Number.MAX_SAFE_INTEGER - 1;
  expect(checkRequest(one, huge)).toBe(OKAY);
  one.sector = Number.MAX_SAFE_INTEGER;
  expect(checkRequest(one, huge)).toBe(ERROR);
  one.sectorOverflow = true;
  one.sector = 0;
  expect(checkRequest(one, huge)).toBe(ERROR);
});

test('without segments: a flush or barrier is fine wherever it points, reads and writes are not', () => {
  const anywhere = { sector: Number.MAX_SAFE_INTEGER, sectorOverflow: true };
  expect(checkRequest(request(BLKIF_OP_FLUSH_DISKCACHE, 0, anywhere), ALL)).toBe(OKAY);
  expect(checkRequest(request(BLKIF_OP_WRITE_BARRIER, 0, anywhere), ALL)).toBe(OKAY);
  expect(checkRequest(request(BLKIF_OP_FLUSH_DISKCACHE, 0), READ_ONLY)).toBe(OKAY);
  expect(checkRequest(request(BLKIF_OP_READ, 0), ALL)).toBe(ERROR);
  expect(checkRequest(request(BLKIF_OP_WRITE, 0), ALL)).toBe(ERROR);
});

test('what was not offered, and what nobody knows, is EOPNOTSUPP', () => {
  for (const nrSegments of [0, 1, 255]) {
    expect(checkRequest(request(BLKIF_OP_FLUSH_DISKCACHE, nrSegments), NOTHING)).toBe(EOPNOTSUPP);
    expect(checkRequest(request(BLKIF_OP_WRITE_BARRIER, nrSegments), NOTHING)).toBe(EOPNOTSUPP);
    expect(checkRequest(request(BLKIF_OP_DISCARD, nrSegments), NOTHING)).toBe(EOPNOTSUPP);
    expect(checkRequest(request(BLKIF_OP_INDIRECT, nrSegments), NOTHING)).toBe(EOPNOTSUPP);
    expect(checkRequest(request(-1, nrSegments), ALL)).toBe(EOPNOTSUPP);
    expect(checkRequest(request(4, nrSegments), ALL)).toBe(EOPNOTSUPP);
  }
  expect(checkRequest(request(BLKIF_OP_READ, 1), NOTHING)).toBe(OKAY);
  expect(checkRequest(request(BLKIF_OP_WRITE, 1), NOTHING)).toBe(OKAY);
});

test('a read-only disk is only read', () => {
  for (const operation of [
    BLKIF_OP_WRITE,
    BLKIF_OP_WRITE_BARRIER,
    BLKIF_OP_FLUSH_DISKCACHE,
    BLKIF_OP_DISCARD,
  ]) {
    expect(checkRequest(request(operation, 1, { nrSectors: 8 }), READ_ONLY)).toBe(ERROR);
  }
  const write = { indirectOperation: BLKIF_OP_WRITE };
  expect(checkRequest(request(BLKIF_OP_INDIRECT, 1, write), READ_ONLY)).toBe(ERROR);
  expect(checkRequest(request(BLKIF_OP_READ, 1), READ_ONLY)).toBe(OKAY);
  const read = { indirectOperation: BLKIF_OP_READ };
  expect(checkRequest(request(BLKIF_OP_INDIRECT, 1, read), READ_ONLY)).toBe(OKAY);
});

test.each([
  ['the whole disk', { sector: 0, nrSectors: 1000 }, OKAY],
  ['the last sector', { sector: 999, nrSectors: 1 }, OKAY],
  ['one too many', { sector: 1, nrSectors: 1000 }, ERROR],
  ['nothing', { sector: 0, nrSectors: 0 }, ERROR],
  ['a sum of 2^54', { sector: 2 ** 53 - 1, nrSectors: 2 ** 53 - 1 }, ERROR],
  ['a count near 2^64', { sector: 0, nrSectors: 2 ** 53 - 1, sectorOverflow: true }, ERROR],
  ['secure, which was not offered', { nrSectors: 1, discardFlag: 1 }, EOPNOTSUPP],
  ['flags that mean nothing', { nrSectors: 1, discardFlag: 0xfe }, OKAY],
])('a discard of %s', (_name, fields, status) => {
  const one = request(BLKIF_OP_DISCARD, 0, fields);
  expect(checkRequest(one, ALL)).toBe(status);
  expect(one.totalSectors).toBe(status === OKAY ? fields.nrSectors : 0);
});

test('a secure discard is fine where it was offered', () => {
  const one = request(BLKIF_OP_DISCARD, 0, { nrSectors: 1, discardFlag: 1 });
  expect(checkRequest(one, { ...ALL, discardSecure: true })).toBe(OKAY);
});

describe('INDIRECT', () => {
  const write = { indirectOperation: BLKIF_OP_WRITE };

  test.each([
    [0, ERROR],
    [1, OKAY],
    [32, OKAY],
    [33, ERROR],
    [300, ERROR],
    [65535, ERROR],
  ])('%i segments where 32 were offered', (nrSegments, status) => {
    const limits = { ...ALL, sectors: 10000, indirectSegmentsMax: 32 };
    const one = request(BLKIF_OP_INDIRECT, nrSegments, write);
    expect(checkHeader(one, limits)).toBe(status);
    expect(checkRequest(one, limits)).toBe(status);
    expect(one.totalSectors).toBe(status === OKAY ? nrSegments * 8 : 0);
  });

  test('300 segments where 256, all that there can be, were offered', () => {
    expect(checkRequest(request(BLKIF_OP_INDIRECT, 300, write), ALL)).toBe(ERROR);
  });

  test.each([2, 3, 4, 5, 6, 7, 255])('the inner operation %i', (indirectOperation) => {
    expect(checkRequest(request(BLKIF_OP_INDIRECT, 1, { indirectOperation }), ALL)).toBe(ERROR);
  });

  test('bad segments, and the end of the disk', () => {
    expect(checkRequest(request(BLKIF_OP_INDIRECT, 125, write), ALL)).toBe(OKAY);
    expect(checkRequest(request(BLKIF_OP_INDIRECT, 126, write), ALL)).toBe(ERROR);
    expect(checkRequest(request(BLKIF_OP_INDIRECT, 2, write, 3, 2), ALL)).toBe(ERROR);
    expect(checkRequest(request(BLKIF_OP_INDIRECT, 2, write, 0, 8), ALL)).toBe(ERROR);
    const far = { ...write, sector: 2 ** 53 - 1, sectorOverflow: true };
    expect(checkRequest(request(BLKIF_OP_INDIRECT, 2, far), ALL)).toBe(ERROR);
  });

  test('segments that were never fetched are this program’s own mistake', () => {
    const one = request(BLKIF_OP_INDIRECT, 2, { ...write, segmentCount: 0 });
    expect(checkHeader(one, ALL)).toBe(OKAY);
    expect(() => checkRequest(one, ALL)).toThrow('all segments are decoded');
  });
});

/** The extent that an entry asks for, by arithmetic without limits; null where it is malformed. */
function extentOf(bytes: Buffer, x86: boolean): { sector: bigint; sectors: bigint } | null {
  const at = x86 ? 12 : 16;
  const sector = bytes.readBigUInt64LE(at);
  if (bytes[0] === 5) return { sector, sectors: bytes.readBigUInt64LE(at + 8) };
  if (bytes[1] > 11) return null;
  let sectors = 0n;
  for (let segment = at + 8; segment < at + 8 + bytes[1] * 8; segment += 8) {
    const [first, last] = [bytes[segment + 4], bytes[segment + 5]];
    if (last > 7 || first > last) return null;
    sectors += BigInt(last - first + 1);
  }
  return { sector, sectors };
}

test('nothing is found fine that exact arithmetic finds bad, nor the other way round', () => {
  const sect = fc.oneof({ weight: 9, arbitrary: fc.integer({ min: 0, max: 9 }) }, fc.nat(255));
  const number = fc.oneof(
    fc.bigInt({ min: 0n, max: 1100n }),
    fc.bigInt({ min: 2n ** 53n - 100n, max: 2n ** 53n + 100n }),
    fc.bigInt({ min: 2n ** 64n - 1100n, max: 2n ** 64n - 1n }),
  );
  fc.assert(
    fc.property(
      fc.constantFrom(0, 1, 2, 3, 5),
      fc.oneof({ weight: 5, arbitrary: fc.integer({ min: 0, max: 12 }) }, fc.nat(255)),
      number,
      number,
      fc.array(fc.tuple(sect, sect), { minLength: 11, maxLength: 11 }),
      fc.constantFrom(1000, 2 ** 53 - 1),
      fc.boolean(),
      (operation, second, sector, discarded, sects, sectors, x86) => {
        const bytes = Buffer.from(new ArrayBuffer(112));
        const at = x86 ? 12 : 16;
        bytes[0] = operation;
        bytes[1] = second;
        bytes.writeBigUInt64LE(sector, at);
        sects.forEach(([first, last], segment) => {
          bytes[at + 12 + segment * 8] = Math.min(first, last);
          bytes[at + 13 + segment * 8] = sector % 5n === 0n ? first : Math.max(first, last) % 8;
        });
        if (operation === 5) bytes.writeBigUInt64LE(discarded, at + 8);
        const one = new RingRequest();
        (x86 ? ABI_X86_32 : ABI_NATIVE).decodeRequest(new DataView(bytes.buffer), 0, one);
        const limits = { ...ALL, sectors, discardSecure: true };
        const extent = extentOf(bytes, x86);
        const empty = extent !== null && extent.sectors === 0n;
        const fine =
          extent !== null &&
          (empty
            ? operation === 2 || operation === 3
            : extent.sector + extent.sectors <= BigInt(sectors));
        expect(checkRequest(one, limits)).toBe(fine ? OKAY : ERROR);
        if (fine) expect(BigInt(one.totalSectors)).toBe(extent.sectors);
        if (fine && !empty) expect(BigInt(one.sector)).toBe(extent.sector);
      },
    ),
    runs(3000),
  );
});
