/** Byte for byte, as the public headers lay requests and responses out. */
import {
  ABI_BLKTAP2,
  ABI_NATIVE,
  ABI_X86_32,
  BLKIF_OP_DISCARD,
  BLKIF_OP_FLUSH_DISKCACHE,
  BLKIF_OP_INDIRECT,
  BLKIF_OP_READ,
  BLKIF_OP_WRITE,
  BLKIF_OP_WRITE_BARRIER,
  OPERATION_UNKNOWN,
  RingRequest,
  RingResponse,
  type RingAbi,
} from '../../lib/ring';

/** An entry that begins with the given bytes in hex; spaces mean nothing. */
function entry(abi: RingAbi, hex: string): DataView {
  const bytes = Buffer.from(hex.replace(/\s/g, ''), 'hex');
  expect(bytes.length).toBeLessThanOrEqual(abi.entryBytes);
  const view = new DataView(new ArrayBuffer(abi.entryBytes));
  bytes.forEach((byte, at) => view.setUint8(at, byte));
  return view;
}

function expectEncoded(abi: RingAbi, request: RingRequest, expected: DataView): void {
  const bytes = new DataView(new ArrayBuffer(abi.entryBytes));
  for (let at = 0; at < bytes.byteLength; at++) bytes.setUint8(at, 0xee);
  abi.encodeRequest(request, bytes, 0);
  expect(Buffer.from(bytes.buffer).toString('hex')).toBe(
    Buffer.from(expected.buffer).toString('hex'),
  );
}

const SEGMENTS = '44332211 00 07 0000' + 'efbeadde 03 05 0000';

const PLAIN: [string, RingAbi, string, number][] = [
  ['native', ABI_NATIVE, '01 02 0500 00000000', BLKIF_OP_WRITE],
  ['x86_32', ABI_X86_32, '01 02 0500', BLKIF_OP_WRITE],
  ['blktap2', ABI_BLKTAP2, '01 02 0500 00000000', BLKIF_OP_WRITE],
];
test.each(PLAIN)('a write of two segments, %s', (_name, abi, head, operation) => {
  const bytes = entry(abi, `${head} 0807060504030291 fedcba9800001f00 ${SEGMENTS}`);
  const request = new RingRequest();
  abi.decodeRequest(bytes, 0, request);
  expect(request).toMatchObject({
    operation,
    wireOperation: 1,
    responseOperation: 1,
    nrSegments: 2,
    segmentCount: 2,
    handle: 5,
    idLow: 0x05060708,
    idHigh: 0x91020304,
    sector: 0x1f000098badcfe,
    sectorOverflow: false,
  });
  expect([...request.gref.subarray(0, 2)]).toEqual([0x11223344, 0xdeadbeef]);
  expect([...request.firstSect.subarray(0, 2)]).toEqual([0, 3]);
  expect([...request.lastSect.subarray(0, 2)]).toEqual([7, 5]);
  expectEncoded(abi, request, bytes);
});

const DISCARDS: [string, RingAbi, string, number][] = [
  ['native', ABI_NATIVE, '05 01 0300 00000000', 1],
  ['x86_32', ABI_X86_32, '05 01 0300', 1],
  ['blktap2 (TRIM)', ABI_BLKTAP2, '03 00 0300 00000000', 0],
];
test.each(DISCARDS)('a discard, %s', (_name, abi, head, discardFlag) => {
  const bytes = entry(abi, `${head} 0100000000000080 0010000000000000 0000000001000000`);
  const request = new RingRequest();
  abi.decodeRequest(bytes, 0, request);
  expect(request).toMatchObject({
    operation: BLKIF_OP_DISCARD,
    wireOperation: abi === ABI_BLKTAP2 ? 3 : 5,
    responseOperation: abi === ABI_BLKTAP2 ? 3 : 5,
    nrSegments: 0,
    segmentCount: 0,
    discardFlag,
    handle: 3,
    idLow: 1,
    idHigh: 0x80000000,
    sector: 0x1000,
    nrSectors: 2 ** 32,
  });
  expectEncoded(abi, request, bytes);
});

const GREFS = '01000000 02000000 03000000 04000000 05000000 06000000 07000000 080000ff';
const INDIRECTS: [string, RingAbi, string][] = [
  [
    'native',
    ABI_NATIVE,
    `06 01 0001 00000000 0700000000000000 0900000000000000 0200 0000 ${GREFS}`,
  ],
  ['x86_32', ABI_X86_32, `06 01 0001 0700000000000000 0900000000000000 0200 0000 ${GREFS}`],
];
test.each(INDIRECTS)('an indirect write of 256 segments, %s', (_name, abi, hex) => {
  const bytes = entry(abi, hex);
  const request = new RingRequest();
  abi.decodeRequest(bytes, 0, request);
  expect(request).toMatchObject({
    operation: BLKIF_OP_INDIRECT,
    wireOperation: 6,
    responseOperation: BLKIF_OP_WRITE,
    indirectOperation: BLKIF_OP_WRITE,
    nrSegments: 256,
    segmentCount: 0,
    handle: 2,
    idLow: 7,
    sector: 9,
  });
  expect([...request.indirectGrefs]).toEqual([1, 2, 3, 4, 5, 6, 7, 0xff000008]);
  expectEncoded(abi, request, bytes);
});

test('an indirect page', () => {
  const page = Buffer.from(new ArrayBuffer(4096));
  Buffer.from(SEGMENTS.replace(/\s/g, ''), 'hex').copy(page);
  const request = new RingRequest();
  request.decodeIndirectSegments(new Int32Array(page.buffer), 0, 2);
  expect(request.segmentCount).toBe(2);
  expect([...request.gref.subarray(0, 2)]).toEqual([0x11223344, 0xdeadbeef]);
  expect([...request.firstSect.subarray(0, 2)]).toEqual([0, 3]);
  expect([...request.lastSect.subarray(0, 2)]).toEqual([7, 5]);
  const again = Buffer.alloc(16, 0xee);
  request.encodeIndirectSegments(again);
  expect(again.equals(page.subarray(0, 16))).toBe(true);
});

test.each([ABI_NATIVE, ABI_X86_32])('responses lie the same in every ABI: $name', (abi) => {
  const hex = '0807060504030291 03 00 feff';
  const bytes = entry(abi, hex);
  const response = new RingResponse();
  abi.decodeResponse(bytes, 0, response);
  expect(response).toEqual({
    idLow: 0x05060708,
    idHigh: 0x91020304,
    wireOperation: 3,
    status: -2,
  });
  const again = new DataView(new ArrayBuffer(abi.entryBytes));
  abi.encodeResponse(again, 0, 0x05060708, 0x91020304, 3, -2);
  expect(Buffer.from(again.buffer).equals(Buffer.from(bytes.buffer))).toBe(true);
});

test('each ABI numbers the operations its own way', () => {
  const normalised = (abi: RingAbi): number[] =>
    Array.from({ length: 256 }, (_, wire) => {
      const bytes = new DataView(new ArrayBuffer(abi.entryBytes));
      bytes.setUint8(0, wire);
      const request = new RingRequest();
      abi.decodeRequest(bytes, 0, request);
      expect(request.wireOperation).toBe(wire);
      return request.operation;
    });
  const unknown = (count: number): number[] => new Array<number>(count).fill(OPERATION_UNKNOWN);
  const blkif = [
    BLKIF_OP_READ,
    BLKIF_OP_WRITE,
    BLKIF_OP_WRITE_BARRIER,
    BLKIF_OP_FLUSH_DISKCACHE,
    OPERATION_UNKNOWN,
    BLKIF_OP_DISCARD,
    BLKIF_OP_INDIRECT,
    ...unknown(249),
  ];
  expect(blkif.slice(0, 7)).toEqual([0, 1, 2, 3, -1, 5, 6]);
  expect(normalised(ABI_NATIVE)).toEqual(blkif);
  expect(normalised(ABI_X86_32)).toEqual(blkif);
  expect(normalised(ABI_BLKTAP2)).toEqual([0, 1, 3, 5, ...unknown(252)]);
  expect(ABI_BLKTAP2.wireOperationOf(BLKIF_OP_FLUSH_DISKCACHE)).toBe(2);
  expect(ABI_BLKTAP2.wireOperationOf(BLKIF_OP_DISCARD)).toBe(3);
  for (const absent of [BLKIF_OP_WRITE_BARRIER, BLKIF_OP_INDIRECT, 4, -1, 7]) {
    expect(ABI_BLKTAP2.wireOperationOf(absent)).toBe(-1);
  }
});

test.each([
  ['2^53 - 1', 'ffffffffffff1f00', Number.MAX_SAFE_INTEGER, false],
  ['2^53', '0000000000002000', Number.MAX_SAFE_INTEGER, true],
  ['2^64 - 1', 'ffffffffffffffff', Number.MAX_SAFE_INTEGER, true],
  ['2^32', '0000000001000000', 2 ** 32, false],
  ['2^31', '0000008000000000', 2 ** 31, false],
])('sector number %s', (_name, hex, sector, sectorOverflow) => {
  const request = new RingRequest();
  ABI_NATIVE.decodeRequest(entry(ABI_NATIVE, `${'00'.repeat(16)}${hex}`), 0, request);
  expect(request).toMatchObject({ sector, sectorOverflow });
  const discard = `05${'00'.repeat(23)}${hex}`;
  ABI_NATIVE.decodeRequest(entry(ABI_NATIVE, discard), 0, request);
  expect(request).toMatchObject({ sector: 0, nrSectors: sector, sectorOverflow });
});

test('a request of 255 segments holds the eleven that an entry has room for', () => {
  for (const abi of [ABI_NATIVE, ABI_X86_32, ABI_BLKTAP2]) {
    const request = new RingRequest();
    abi.decodeRequest(entry(abi, '00ff'), 0, request);
    expect(request).toMatchObject({ nrSegments: 255, segmentCount: 11 });
  }
});

test('an operation that is unknown goes to the ring as the number it has', () => {
  const request = new RingRequest();
  request.operation = OPERATION_UNKNOWN;
  request.wireOperation = 200;
  request.idLow = 6;
  expectEncoded(ABI_X86_32, request, entry(ABI_X86_32, 'c8000000 06'));
});
