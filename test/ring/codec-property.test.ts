/** What is encoded decodes to the same, in every ABI; any bytes at all decode without harm. */
import fc from 'fast-check';
import {
  BLKIF_OP_DISCARD,
  BLKIF_OP_INDIRECT,
  RingRequest,
  RingResponse,
  type RingAbi,
} from '../../lib/ring';
import { ABIS } from './ring-memory';
import { runs } from './property-options';

const u8 = fc.integer({ min: 0, max: 0xff });
const u16 = fc.integer({ min: 0, max: 0xffff });
const u32 = fc.integer({ min: 0, max: 0xffffffff });
const sectors = fc.maxSafeNat();
const segment = fc.record({ gref: u32, firstSect: u8, lastSect: u8 });
const common = { idLow: u32, idHigh: u32, handle: u16, sector: sectors };

const plain = fc
  .record({ ...common, segments: fc.array(segment, { maxLength: 11 }) })
  .chain((fields) => fc.constantFrom(0, 1, 2, 3).map((operation) => ({ ...fields, operation })));
const discard = fc.record({
  ...common,
  operation: fc.constant(BLKIF_OP_DISCARD),
  nrSectors: sectors,
  discardFlag: u8,
});
const indirect = fc.record({
  ...common,
  operation: fc.constant(BLKIF_OP_INDIRECT),
  indirectOperation: u8,
  nrSegments: u16,
  indirectGrefs: fc.array(u32, { minLength: 8, maxLength: 8 }),
});

type Fields = Partial<Record<keyof RingRequest, unknown>> & {
  operation: number;
  segments?: { gref: number; firstSect: number; lastSect: number }[];
  indirectGrefs?: number[];
};

function requestOf(fields: Fields): RingRequest {
  const { segments = [], indirectGrefs = [], ...scalars } = fields;
  const request = new RingRequest();
  Object.assign(request, scalars);
  if (fields.operation !== BLKIF_OP_INDIRECT) request.nrSegments = segments.length;
  if (fields.operation === BLKIF_OP_INDIRECT) {
    request.responseOperation = request.indirectOperation;
  }
  request.segmentCount = segments.length;
  segments.forEach((one, index) => {
    request.gref[index] = one.gref;
    request.firstSect[index] = one.firstSect;
    request.lastSect[index] = one.lastSect;
  });
  request.indirectGrefs.set(indirectGrefs);
  return request;
}

describe.each(ABIS)('$name', (abi: RingAbi) => {
  test('a request survives the ring', () => {
    fc.assert(
      fc.property(fc.oneof(plain, discard, indirect), u8, (fields, dirt) => {
        const request = requestOf(fields);
        const wire = abi.wireOperationOf(request.operation);
        fc.pre(wire !== -1);
        const offset = 8;
        const bytes = Buffer.from(new ArrayBuffer(abi.entryBytes + 16)).fill(dirt);
        const view = new DataView(bytes.buffer);
        abi.encodeRequest(request, view, offset);
        expect(bytes.subarray(0, offset).every((byte) => byte === dirt)).toBe(true);
        expect(bytes.subarray(offset + abi.entryBytes).every((byte) => byte === dirt)).toBe(true);

        const decoded = new RingRequest();
        abi.decodeRequest(view, offset, decoded);
        request.wireOperation = wire;
        if (request.operation !== BLKIF_OP_INDIRECT) request.responseOperation = wire;
        if (abi.name === 'blktap2') request.discardFlag = 0;
        expect(decoded).toEqual(request);
      }),
      runs(150),
    );
  });

  test('nothing of an earlier request is left in a reused one', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 112, maxLength: 112 }),
        fc.uint8Array({ minLength: 112, maxLength: 112 }),
        u8.map((operation) => operation % 8),
        (first, second, operation) => {
          second[0] = operation;
          const reused = new RingRequest();
          const fresh = new RingRequest();
          abi.decodeRequest(new DataView(first.slice().buffer), 0, reused);
          abi.decodeRequest(new DataView(second.slice().buffer), 0, reused);
          abi.decodeRequest(new DataView(second.slice().buffer), 0, fresh);
          const count = fresh.segmentCount;
          const seen = (request: RingRequest): unknown => ({
            ...request,
            gref: [...request.gref.subarray(0, count)],
            firstSect: [...request.firstSect.subarray(0, count)],
            lastSect: [...request.lastSect.subarray(0, count)],
            indirectGrefs: fresh.operation === BLKIF_OP_INDIRECT ? [...request.indirectGrefs] : [],
          });
          expect(seen(reused)).toEqual(seen(fresh));
        },
      ),
      runs(100),
    );
  });

  test('only the bytes that requestBytes tells of are looked at', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 112, maxLength: 112 }),
        u8.map((operation) => operation % 8),
        fc.oneof(fc.integer({ min: 0, max: 12 }), u8),
        (bytes, operation, second) => {
          const copy = bytes.slice();
          copy[0] = operation;
          copy[1] = second;
          const length = abi.requestBytes(new DataView(copy.buffer).getInt32(0, true));
          expect(length).toBeLessThanOrEqual(abi.entryBytes);
          expect(length % 4).toBe(0);
          const cut = new DataView(copy.slice(0, length).buffer);
          const request = new RingRequest();
          expect(() => abi.decodeRequest(cut, 0, request)).not.toThrow();
        },
      ),
      runs(300),
    );
  });

  test('a response survives the ring, in 12 bytes', () => {
    const i16 = fc.integer({ min: -32768, max: 32767 });
    fc.assert(
      fc.property(u32, u32, u8, i16, (idLow, idHigh, wireOperation, status) => {
        const view = new DataView(new ArrayBuffer(12));
        abi.encodeResponse(view, 0, idLow, idHigh, wireOperation, status);
        const response = new RingResponse();
        abi.decodeResponse(view, 0, response);
        expect(response).toEqual({ idLow, idHigh, wireOperation, status });
      }),
      runs(200),
    );
  });

  test('what the ABI cannot say is not encoded', () => {
    const view = new DataView(new ArrayBuffer(abi.entryBytes));
    const request = new RingRequest();
    request.operation = 4;
    expect(() => abi.encodeRequest(request, view, 0)).toThrow('has a number in the ABI');
    request.operation = 1;
    for (const sector of [-1, 0.5, 2 ** 53, NaN]) {
      request.sector = sector;
      expect(() => abi.encodeRequest(request, view, 0)).toThrow('safe integer');
    }
    request.sector = 0;
    request.segmentCount = 12;
    expect(() => abi.encodeRequest(request, view, 0)).toThrow('11 segments');
  });
});

const PAGE_WORDS = 1024;

function wordsOf({ buffer, byteOffset, length }: Buffer): Int32Array {
  return new Int32Array(buffer, byteOffset, length / 4);
}

test('an indirect page survives, up to 256 segments', () => {
  fc.assert(
    fc.property(fc.array(segment, { minLength: 1, maxLength: 256 }), (segments) => {
      const page = Buffer.from(new ArrayBuffer(4096)).fill(0xcc);
      const request = new RingRequest();
      request.segmentCount = segments.length;
      segments.forEach((one, index) => {
        request.gref[index] = one.gref;
        request.firstSect[index] = one.firstSect;
        request.lastSect[index] = one.lastSect;
      });
      request.encodeIndirectSegments(page);
      const decoded = new RingRequest();
      // The page may lie anywhere in the words.
      const words = new Int32Array(3 * PAGE_WORDS).fill(-1);
      words.set(wordsOf(page), PAGE_WORDS);
      decoded.decodeIndirectSegments(words, PAGE_WORDS, segments.length);
      expect(decoded).toEqual(request);
    }),
    runs(50),
  );
  const request = new RingRequest();
  const page = new Int32Array(PAGE_WORDS);
  expect(() => request.decodeIndirectSegments(page, 0, 257)).toThrow('limit');
  expect(() => request.decodeIndirectSegments(page, 0, 0)).toThrow('limit');
  expect(() => request.decodeIndirectSegments(page, PAGE_WORDS - 3, 2)).toThrow(
    'holds the segments',
  );
});

test('each word of an indirect page is read once: the other side may change it at any instant', () => {
  const reads = new Map<string, number>();
  const page = new Proxy(new Int32Array(PAGE_WORDS), {
    get: (target, name) => {
      if (typeof name === 'string') reads.set(name, (reads.get(name) ?? 0) + 1);
      return Reflect.get(target, name, target) as unknown;
    },
  });
  new RingRequest().decodeIndirectSegments(page, 0, 256);
  reads.delete('length');
  expect(reads.size).toBe(512);
  expect([...reads.values()].every((count) => count === 1)).toBe(true);
});
