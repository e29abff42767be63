/**
 * The NBD server before clients that nobody here wrote: qemu's, libnbd's and fio's.
 *
 * `make test-nbd` installs them; without them these tests are skipped, and say so.
 */
import { randomBytes } from 'node:crypto';
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod/v3';
import { describeWhere } from '../where';
import { MIB, missingPrograms, type NbdService, run, serveVolumes } from './nbd-service';

const SIZE = 64 * MIB;

const missing = missingPrograms('qemu-img', 'qemu-io', 'nbdinfo', 'nbdcopy', 'nbdsh', 'fio');
const absence =
  missing.length === 0 ? null : `no ${missing.join(', ')}; make test-nbd installs them`;
const whereInstalled = describeWhere(absence, 'NBD clients');

jest.setTimeout(60_000);

let service: NbdService;

/** A sparse image: data, a hole, data that ends within a chunk. */
function makeImage(path: string): Buffer {
  const image = Buffer.alloc(SIZE);
  randomBytes(5 * MIB).copy(image, 0);
  randomBytes(MIB + 4096).copy(image, 20 * MIB + 512);
  randomBytes(8192).copy(image, SIZE - 8192);
  writeFileSync(path, image);
  return image;
}

const extentList = z.array(z.object({ offset: z.number(), length: z.number(), type: z.number() }));

async function mapOf(uri: string): Promise<[offset: number, length: number, type: number][]> {
  const extents = extentList.parse(JSON.parse(await run('nbdinfo', '--json', '--map', uri)));
  return extents.map(({ offset, length, type }) => [offset, length, type]);
}

whereInstalled('without TLS', () => {
  beforeEach(async () => {
    service = await serveVolumes({ disk: SIZE, other: MIB });
  });
  afterEach(async () => {
    await service.end();
    expect(service.failures.filter((code) => code !== 'NBD_CONNECTION_BROKEN')).toEqual([]);
  });

  test('nbdinfo lists the exports and what they can do', async () => {
    const all = await run('nbdinfo', '--list', '--json', `nbd+unix:///?socket=${service.socket}`);
    const { exports } = z
      .object({ exports: z.array(z.record(z.string(), z.unknown())) })
      .parse(JSON.parse(all));
    expect(exports.map((one) => [one['export-name'], one['export-size']])).toEqual([
      ['pool/disk', SIZE],
      ['pool/other', MIB],
    ]);
    expect(exports[0]).toMatchObject({
      can_cache: true,
      can_df: true,
      can_fast_zero: true,
      can_flush: true,
      can_fua: true,
      can_multi_conn: true,
      can_trim: true,
      can_zero: true,
      is_read_only: false,
      block_size_minimum: 512,
      block_size_preferred: 4096,
      block_size_maximum: 32 * MIB,
      contexts: ['base:allocation'],
    });
  });

  test('nbdinfo --map sees what was written and discarded', async () => {
    const { uri } = service;
    expect(await mapOf(uri)).toEqual([[0, SIZE, 3]]);
    const commands = ['write -P 1 3M 64k', 'write -P 2 10M 2M', 'discard 10M 1M'];
    await run('qemu-io', '-f', 'raw', ...commands.flatMap((c) => ['-c', c]), uri);
    expect(await mapOf(uri)).toEqual([
      [0, 3 * MIB, 3],
      [3 * MIB, MIB, 0],
      [4 * MIB, 7 * MIB, 3],
      [11 * MIB, MIB, 0],
      [12 * MIB, SIZE - 12 * MIB, 3],
    ]);
  });

  test('qemu-img convert writes an image that compares as identical', async () => {
    const source = join(service.directory, 'source.raw');
    const back = join(service.directory, 'back.qcow2');
    makeImage(source);
    await run('qemu-img', 'convert', '-n', '-f', 'raw', '-O', 'raw', source, service.uri);
    await run('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', source, service.uri);
    await run(
      'qemu-img',
      'convert',
      '-m',
      '8',
      '-W',
      '-f',
      'raw',
      '-O',
      'qcow2',
      service.uri,
      back,
    );
    await run('qemu-img', 'compare', '-f', 'raw', '-F', 'qcow2', source, back);
    // What is a hole in the image stays one in the volume.
    expect((await mapOf(service.uri)).some(([, , type]) => type === 3)).toBe(true);
  });

  test('qemu-img compare notices one byte', async () => {
    const source = join(service.directory, 'source.raw');
    const image = makeImage(source);
    await run('qemu-img', 'convert', '-n', '-f', 'raw', '-O', 'raw', source, service.uri);
    image[20 * MIB + 1000] ^= 1;
    writeFileSync(source, image);
    await expect(
      run('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', source, service.uri),
    ).rejects.toThrow('Content mismatch at offset');
  });

  test.each(['read', 'write'])('qemu-img bench runs: %s', async (operation) => {
    const kind = operation === 'write' ? ['-w', '--flush-interval=64'] : [];
    await run('qemu-img', 'bench', '-f', 'raw', '-c', '2000', '-d', '32', ...kind, service.uri);
  });

  test('qemu-io reads the patterns that it wrote, zeroed and discarded', async () => {
    const commands = [
      'aio_write -P 1 0 4M',
      'aio_write -P 2 4M 512',
      'aio_flush',
      'write -f -P 3 5M 64k',
      'write -z 1M 1M',
      'write -z -u 2560k 64k',
      'discard 3M 512k',
      'flush',
      'read -P 1 0 1M',
      'read -P 0 1M 1M',
      'read -P 1 2M 512k',
      'read -P 0 2560k 64k',
      'read -P 1 2624k 448k',
      'read -P 1 3584k 512k',
      'read -P 2 4M 512',
      'read -P 0 4194816 512',
      'read -P 3 5M 64k',
      `write -P 9 ${SIZE - 512} 512`,
      `read -P 9 ${SIZE - 512} 512`,
    ];
    const options = commands.flatMap((command) => ['-c', command]);
    const out = await run('qemu-io', '-f', 'raw', ...options, service.uri);
    expect(out).not.toMatch(/failed|error/i);
  });

  test('nbdcopy copies both ways, by several connections', async () => {
    const source = join(service.directory, 'source.raw');
    const back = join(service.directory, 'back.raw');
    const image = makeImage(source);
    await run('nbdcopy', '--flush', '--connections=4', source, service.uri);
    await run('nbdcopy', '--connections=4', service.uri, back);
    expect(readFileSync(back).equals(image)).toBe(true);
    writeFileSync(back, '');
    truncateSync(back, SIZE);
    await run('nbdcopy', '--synchronous', '--request-size=4096', service.uri, back);
    expect(readFileSync(back).equals(image)).toBe(true);
  });

  test('nbdsh sees data, errors and extents as it should', async () => {
    const script = `
def refused(errno_wanted, call):
    try:
        call()
    except nbd.Error as error:
        assert error.errno == errno_wanted, error
    else:
        raise AssertionError("not refused")
h.set_strict_mode(0)
h.add_meta_context("base:allocation")
h.connect_uri("${service.uri}")
assert h.get_structured_replies_negotiated()
h.pwrite(b"x" * 4096, 8192, nbd.CMD_FLAG_FUA)
h.zero(1024, 8192 + 512, nbd.CMD_FLAG_NO_HOLE)
h.zero(512, 8192 + 2048, nbd.CMD_FLAG_FAST_ZERO)
h.cache(4096, 0)
h.flush()
want = b"x" * 512 + bytes(1024) + b"x" * 512 + bytes(512) + b"x" * 1536
assert h.pread(4096, 8192) == want
assert h.pread(4096, 8192, nbd.CMD_FLAG_DF) == want
assert h.pread_structured(4096, 8192, lambda *_: 0) == want
refused("EINVAL", lambda: h.pread(512, ${SIZE}))
refused("EINVAL", lambda: h.pread(100, 0))
refused("ENOSPC", lambda: h.pwrite(bytes(512), ${SIZE}))
extents = []
h.block_status(${SIZE}, 0, lambda context, offset, entries, error: extents.extend(entries))
assert extents == [${MIB}, 0, ${SIZE - MIB}, 3], extents
h.trim(${MIB}, 0)
assert h.pread(4096, 8192) == bytes(4096)
h.shutdown()
`;
    await run('nbdsh', '-c', script);
  });

  test.each([
    ['4k', '32', 'randwrite'],
    ['64k', '8', 'write'],
    ['512', '16', 'randwrite'],
  ])('fio verifies %s at depth %s (%s)', async (bs, depth, rw) => {
    const out = await run(
      'fio',
      '--name=verify',
      '--ioengine=nbd',
      `--uri=${service.uri}`,
      `--rw=${rw}`,
      `--bs=${bs}`,
      `--iodepth=${depth}`,
      '--size=8M',
      '--verify=crc32c',
      '--verify_fatal=1',
      '--do_verify=1',
      '--randseed=7',
      '--verify_state_save=0',
    );
    expect(out).toMatch(/err= 0/);
  });

  test('a volume keeps what it was given, whoever reads it later', async () => {
    const source = join(service.directory, 'source.raw');
    makeImage(source);
    await run('nbdcopy', '--flush', source, service.uri);
    await service.disks.detach(1);
    expect(service.disks.list()).toHaveLength(1);
    // With one export left, its name need not be said.
    const only = `nbd+unix:///?socket=${service.socket}`;
    await run('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', source, only);
  });
});

whereInstalled('read-only', () => {
  test('qemu-io can read and not write', async () => {
    service = await serveVolumes({ disk: MIB }, { readOnly: true });
    await run('qemu-io', '-r', '-f', 'raw', '-c', 'read -P 0 0 1M', service.uri);
    await expect(run('qemu-io', '-f', 'raw', '-c', 'write -P 1 0 4k', service.uri)).rejects.toThrow(
      'Permission denied',
    );
    await service.end();
  });
});
