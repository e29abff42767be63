/** The bytes of a batch of grant copies, as linux/uapi/xen/gntdev.h has them. */
import { addressOf } from '../../native-bindings/gntdev';
import { GrantCopyBatch } from '../../native-bindings/grant-copy-batch';

const DOMID = 0x7ff0;
const ADDRESS = 0x7fff_1234_5000;

function batchOf(segments: number): GrantCopyBatch {
  return new GrantCopyBatch(DOMID, segments, addressOf);
}

describe('a batch of grant copies', () => {
  it('begins with the count and the address of its segments', () => {
    const batch = batchOf(2);
    batch.fetch(1, 0, ADDRESS, 512);
    expect(batch.argument.readUInt32LE(0)).toBe(1);
    expect(Number(batch.argument.readBigUInt64LE(8))).toBe(addressOf(batch.argument) + 16);
    batch.clear();
    expect(batch.argument.readUInt32LE(0)).toBe(0);
  });

  it('fetches from a grant reference to an address', () => {
    const batch = batchOf(2);
    batch.fetch(7, 0, 4096, 4096);
    batch.fetch(0xfedcba98, 3584, ADDRESS, 512);
    const segment = batch.argument.subarray(16 + 24, 16 + 48);
    expect(segment.readUInt32LE(0)).toBe(0xfedcba98);
    expect(segment.readUInt16LE(4)).toBe(3584);
    expect(segment.readUInt16LE(6)).toBe(DOMID);
    expect(Number(segment.readBigUInt64LE(8))).toBe(ADDRESS);
    expect(segment.readUInt16LE(16)).toBe(512);
    expect(segment.readUInt16LE(18)).toBe(1);
  });

  it('delivers from an address to a grant reference', () => {
    const batch = batchOf(1);
    batch.deliver(9, 512, ADDRESS, 3584);
    const segment = batch.argument.subarray(16);
    expect(Number(segment.readBigUInt64LE(0))).toBe(ADDRESS);
    expect(segment.readUInt32LE(8)).toBe(9);
    expect(segment.readUInt16LE(12)).toBe(512);
    expect(segment.readUInt16LE(14)).toBe(DOMID);
    expect(segment.readUInt16LE(16)).toBe(3584);
    expect(segment.readUInt16LE(18)).toBe(2);
  });

  it('has the status that the kernel wrote, and none of the batch before', () => {
    const batch = batchOf(1);
    batch.fetch(1, 0, ADDRESS, 512);
    batch.argument.writeInt16LE(-3, 16 + 20);
    expect(batch.status(0)).toBe(-3);
    batch.clear();
    batch.fetch(1, 0, ADDRESS, 512);
    expect(batch.status(0)).toBe(0);
  });

  it('refuses what would leave the page, and more than it has room for', () => {
    const batch = batchOf(1);
    expect(() => batch.fetch(1, 3584, ADDRESS, 1024)).toThrow('within one granted page');
    batch.fetch(1, 0, ADDRESS, 4096);
    expect(() => batch.fetch(1, 0, ADDRESS, 4096)).toThrow('has room');
    expect(() => batch.status(1)).toThrow('in the batch');
  });
});
