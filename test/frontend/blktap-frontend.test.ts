/** One front end on three kernels, and that each kernel's traps are noticed when stepped into. */
import { BlktapFrontend } from '../../lib/frontend/blktap/blktap-frontend';
import { allocateTap, freeTap } from '../../lib/frontend/blktap/blktap2-control';
import type { TapdiskError } from '../../lib/errors';
import { REQUEST_BARRIER } from '../../lib/vbd/request';
import { refusal } from './refusal';
import { FakeBlockDevice } from './fake-block-device';
import {
  BLKIF_OP_DISCARD,
  BLKIF_OP_FLUSH_DISKCACHE,
  BLKIF_OP_READ,
  BLKIF_OP_WRITE,
  BLKIF_OP_WRITE_BARRIER,
  type BlockIo,
  FakeKernel,
  type FakeKernelOptions,
  type KernelKind,
} from './fake-kernel';

const KINDS: KernelKind[] = ['xenserver', 'openxt', 'blktap1'];

let kernel: FakeKernel;
let disk: FakeBlockDevice;
let frontend: BlktapFrontend;
let stops: TapdiskError[];
let closesAsked: number;

function begin(
  kind: KernelKind,
  options: FakeKernelOptions = {},
  device = new FakeBlockDevice(),
): void {
  kernel = new FakeKernel(kind, options);
  disk = device;
  stops = [];
  closesAsked = 0;
  frontend = BlktapFrontend.open(
    kernel.path,
    disk,
    { onStopped: (reason) => stops.push(reason), onCloseAsked: () => closesAsked++ },
    kernel,
  );
  frontend.start();
}

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

async function until(condition: () => boolean): Promise<void> {
  for (let turns = 0; !condition(); turns++) {
    if (turns > 2000) throw new Error('it never came about');
    await turn();
  }
}

async function ended(...ios: BlockIo[]): Promise<(number | undefined)[]> {
  await until(() => ios.every((io) => io.status !== undefined));
  return ios.map((io) => io.status);
}

function expectNoTraps(): void {
  kernel.checkPages();
  expect(kernel.traps).toEqual([]);
  expect(stops).toEqual([]);
  expect(disk.leaked).toBe(0);
}

describe.each(KINDS)('on %s', (kind) => {
  test('the device is opened, mapped and set up in the one safe order', async () => {
    begin(kind);
    const steps = kernel.calls.slice(0, kernel.calls.indexOf('watch') + 1);
    expect(steps).toEqual([
      `open ${kernel.path}`,
      'mmap',
      ...(kind === 'blktap1' ? ['ioctl 4', 'ioctl 3'] : ['ioctl 208']),
      'watch',
    ]);
    if (kind === 'blktap1') expect(kernel.mode).toBe(3);
    else expect(kernel.disk).toMatchObject({ sectors: 4096 });
    await frontend.close();
    expectNoTraps();
  });

  test('data goes down and up', async () => {
    begin(kind);
    const written = Buffer.alloc(44 * 1024);
    for (let at = 0; at < written.length; at++) written[at] = (at * 7) % 251;
    expect(await ended(kernel.issue(BLKIF_OP_WRITE, 100, written))).toEqual([0]);
    expect(disk.disk.subarray(51_200, 51_200 + written.length).equals(written)).toBe(true);
    const read = kernel.issue(BLKIF_OP_READ, 101, Buffer.alloc(1024));
    expect(await ended(read)).toEqual([0]);
    expect(read.data.equals(written.subarray(512, 1536))).toBe(true);
    await frontend.close();
    expectNoTraps();
  });

  test('requests that came before the server are served', async () => {
    kernel = new FakeKernel(kind);
    disk = new FakeBlockDevice();
    const io = kernel.issue(BLKIF_OP_READ, 0, Buffer.alloc(512));
    stops = [];
    const events = { onStopped: (reason: TapdiskError) => stops.push(reason), onCloseAsked() {} };
    frontend = BlktapFrontend.open(kernel.path, disk, events, kernel);
    frontend.start();
    expect(await ended(io)).toEqual([0]);
    await frontend.close();
    expectNoTraps();
  });

  test('many more requests than slots are all answered, each once, in any order', async () => {
    begin(kind, {}, new FakeBlockDevice({ manual: true }));
    const seed = 0x2545f491;
    let random = seed;
    const ios = Array.from({ length: 300 }, (_, index) =>
      kernel.issue(
        index % 3 === 0 ? BLKIF_OP_WRITE : BLKIF_OP_READ,
        index % 100,
        Buffer.alloc(512 * (1 + (index % 88)), index),
      ),
    );
    while (ios.some((io) => io.status === undefined)) {
      await turn();
      random = (Math.imul(random, 1664525) + 1013904223) >>> 0;
      const { waiting } = disk;
      if (waiting.length > 0) disk.complete(waiting[random % waiting.length]);
    }
    expect(ios.map((io) => io.status)).toEqual(ios.map(() => 0));
    await frontend.close();
    expectNoTraps();
  });

  test('errors reach the one who asked', async () => {
    begin(kind);
    const bad = kernel.issue(BLKIF_OP_READ, 4096, Buffer.alloc(512));
    const good = kernel.issue(BLKIF_OP_READ, 4095, Buffer.alloc(512));
    expect(await ended(bad, good)).toEqual([-5, 0]);
    await frontend.close();
    expectNoTraps();
  });

  test('wake-ups for nothing are harmless', async () => {
    begin(kind);
    kernel.closeBlockDevice();
    await turn();
    await turn();
    const io = kernel.issue(BLKIF_OP_READ, 0, Buffer.alloc(512));
    expect(await ended(io)).toEqual([0]);
    await frontend.close();
    expectNoTraps();
  });

  test('close waits until what is in flight has been answered', async () => {
    begin(kind, {}, new FakeBlockDevice({ manual: true }));
    const io = kernel.issue(BLKIF_OP_READ, 0, Buffer.alloc(512));
    await until(() => disk.waiting.length === 1);
    const closing = frontend.close();
    for (let turns = 0; turns < 20; turns++) await turn();
    expect(kernel.calls).not.toContain('munmap');
    disk.completeAll();
    await closing;
    expect(io.status).toBe(0);
    expect(kernel.calls.slice(-2)).toEqual(['munmap', 'close']);
    expectNoTraps();
  });

  test('a second server is refused, and the first not disturbed', async () => {
    begin(kind);
    expect(
      refusal(() =>
        BlktapFrontend.open(kernel.path, disk, { onStopped() {}, onCloseAsked() {} }, kernel),
      ),
    ).toMatchObject({ code: 'BLKTAP_IN_USE' });
    expect(await ended(kernel.issue(BLKIF_OP_READ, 0, Buffer.alloc(512)))).toEqual([0]);
    await frontend.close();
    expectNoTraps();
  });

  test('a read-only disk says so to the kernel, and refuses writes', async () => {
    begin(kind, {}, new FakeBlockDevice({ readOnly: true }));
    if (kind !== 'blktap1') expect(kernel.disk!.flags & 1).toBe(1);
    expect(await ended(kernel.issue(BLKIF_OP_WRITE, 0, Buffer.alloc(512)))).toEqual([-5]);
    await frontend.close();
    expectNoTraps();
  });
});

describe('XenServer', () => {
  test('cannot flush, so its users must find completed writes durable', async () => {
    begin('xenserver');
    expect(frontend.kind).toBe('blktap2-xenserver');
    expect(frontend.flushCapable).toBe(false);
    expect(kernel.disk).toEqual({ sectors: 4096, flags: 0, physicalSectorSize: 4096 });
    await frontend.close();
  });

  test('is served until the last user of its block device has closed it', async () => {
    begin('xenserver');
    kernel.blockDeviceOpen = true;
    const closing = frontend.close();
    await turn();
    expect(await ended(kernel.issue(BLKIF_OP_WRITE, 0, Buffer.alloc(512, 1)))).toEqual([0]);
    kernel.closeBlockDevice();
    await closing;
    const order = ['ioctl 207', 'munmap', 'close'];
    expect(kernel.calls.filter((call) => order.includes(call)).slice(-3)).toEqual(order);
    expect(freeTap(kernelWithControl(), kernel.minor)).toBe('freed');
    expectNoTraps();
  });

  test('whose first module has only the older call is served too', async () => {
    begin('xenserver', { compatOnly: true });
    expect(kernel.disk).toMatchObject({ sectors: 4096 });
    expect(await ended(kernel.issue(BLKIF_OP_READ, 0, Buffer.alloc(512)))).toEqual([0]);
    await frontend.close();
    expectNoTraps();
  });

  test('with a block device left behind is named', () => {
    kernel = new FakeKernel('xenserver');
    kernel.disk = { sectors: 1, flags: 0, physicalSectorSize: 512 };
    expect(
      refusal(() => BlktapFrontend.open(kernel.path, new FakeBlockDevice(), NO_EVENTS, kernel)),
    ).toMatchObject({ code: 'BLKTAP_DEVICE_EXISTS' });
    expect(kernel.calls.slice(-2)).toEqual(['munmap', 'close']);
  });
});

describe('OpenXT', () => {
  test('flushes and discards', async () => {
    begin('openxt');
    expect(frontend.flushCapable).toBe(true);
    expect(kernel.disk!.flags).toBe(4 | 8);
    disk.disk.fill('x', 0, 8192);
    const flush = kernel.issue(BLKIF_OP_FLUSH_DISKCACHE, 0, Buffer.alloc(0));
    const discard = kernel.issue(BLKIF_OP_DISCARD, 0, Buffer.alloc(0), 8);
    expect(await ended(flush, discard)).toEqual([0, 0]);
    expect(disk.disk.subarray(0, 4096).every((byte) => byte === 0)).toBe(true);
    await frontend.close();
    expectNoTraps();
  });

  test('that refuses those flags is served without them', async () => {
    begin('openxt', { refuseFlags: true });
    expect(kernel.disk!.flags).toBe(0);
    expect(frontend.flushCapable).toBe(false);
    expect(await ended(kernel.issue(BLKIF_OP_READ, 0, Buffer.alloc(512)))).toEqual([0]);
    await frontend.close();
    expectNoTraps();
  });

  test('that asks to close gets it, without a word to its block device', async () => {
    begin('openxt', { control: '/dev/blktap-control' });
    expect(freeTap(kernel, kernel.minor)).toBe('freed');
    await until(() => closesAsked > 0);
    kernel.closeBlockDevice();
    await turn();
    await turn();
    expect(closesAsked).toBe(1);
    await frontend.close();
    expect(kernel.calls).not.toContain('ioctl 207');
    expect(kernel.tapAllocated).toBe(false);
    expectNoTraps();
  });

  test('is paused only once nothing is in flight, and resumed', async () => {
    begin('openxt', {}, new FakeBlockDevice({ manual: true }));
    const before = kernel.issue(BLKIF_OP_READ, 0, Buffer.alloc(512));
    await until(() => disk.waiting.length === 1);
    kernel.sendMessage(1);
    for (let turns = 0; turns < 20; turns++) await turn();
    expect(kernel.message).toBe(1);
    disk.completeAll();
    await until(() => kernel.message === 0);
    expect(before.status).toBe(0);
    const during = kernel.issue(BLKIF_OP_READ, 0, Buffer.alloc(512));
    for (let turns = 0; turns < 20; turns++) await turn();
    expect(disk.waiting).toEqual([]);
    kernel.sendMessage(2);
    await until(() => kernel.message === 0 && disk.waiting.length === 1);
    disk.completeAll();
    expect(await ended(during)).toEqual([0]);
    await frontend.close();
    expectNoTraps();
  });

  test.each(['we', 'the kernel'])(
    'paused by both sides waits for both, if %s resume first',
    async (first) => {
      begin('openxt');
      frontend.pause();
      kernel.sendMessage(1);
      await until(() => kernel.message === 0);
      const io = kernel.issue(BLKIF_OP_READ, 0, Buffer.alloc(512));
      const resumeKernel = async (): Promise<void> => {
        kernel.sendMessage(2);
        await until(() => kernel.message === 0);
      };
      if (first === 'we') frontend.resume();
      else await resumeKernel();
      for (let turns = 0; turns < 20; turns++) await turn();
      expect(io.status).toBeUndefined();
      if (first === 'we') await resumeKernel();
      else frontend.resume();
      expect(await ended(io)).toEqual([0]);
      await frontend.close();
      expectNoTraps();
    },
  );
});

describe('blktap1', () => {
  test('takes operation 2 for a barrier, and cannot flush', async () => {
    begin('blktap1');
    expect(frontend.flushCapable).toBe(false);
    expect(await ended(kernel.issue(BLKIF_OP_WRITE_BARRIER, 0, Buffer.alloc(0)))).toEqual([0]);
    expect(disk.seen).toMatchObject([{ operation: REQUEST_BARRIER }]);
    await frontend.close();
    expectNoTraps();
  });
});

describe('the control node', () => {
  test('allocates and frees', () => {
    const xenserver = new FakeKernel('xenserver', { control: '/dev/blktap/control', minor: 7 });
    xenserver.tapAllocated = false;
    expect(freeTap(xenserver, 7)).toBe('unknown');
    expect(allocateTap(xenserver)).toEqual({ ringMajor: 240, blockMajor: 253, minor: 7 });
    const fd = xenserver.open(xenserver.path);
    expect(freeTap(xenserver, 7)).toBe('in-use');
    xenserver.close(fd);
    expect(freeTap(xenserver, 7)).toBe('freed');
  });

  test('that is missing or refuses is named', () => {
    expect(refusal(() => allocateTap(new FakeKernel('xenserver')))).toMatchObject({
      code: 'BLKTAP_NO_CONTROL',
    });
    const refusing = new FakeKernel('openxt', { control: '/dev/blktap-control' });
    refusing.open = () => {
      throw Object.assign(new Error('EACCES: permission denied'), { code: 'EACCES' });
    };
    expect(refusal(() => allocateTap(refusing))).toMatchObject({ code: 'BLKTAP_CONTROL_FAILED' });
  });
});

describe('the traps of the fake kernels catch a front end that', () => {
  const mapped = (kind: KernelKind) => {
    const fake = new FakeKernel(kind);
    const fd = fake.open(fake.path);
    return { fake, fd, mapping: fake.map(fd, 353 * 4096, 0) };
  };

  test.each(['xenserver', 'openxt'] as const)('polls %s before it maps', (kind) => {
    const fake = new FakeKernel(kind);
    fake.watch(fake.open(fake.path), () => undefined);
    expect(fake.traps).toEqual(['poll without a mapping: kernel oops']);
  });

  test.each(KINDS)('answers twice, or what is not in flight, on %s', (kind) => {
    const { fake, fd, mapping } = mapped(kind);
    fake.mode = 3;
    const watch = fake.watch(fd, () => undefined);
    fake.issue(BLKIF_OP_READ, 0, Buffer.alloc(512));
    fake.issue(BLKIF_OP_READ, 0, Buffer.alloc(512));
    watch.poll();
    mapping.bytes.fill(0, 64, 64 + 12);
    mapping.bytes.fill(0, 64 + 112, 64 + 112 + 12);
    mapping.bytes.writeUInt32LE(2, 8);
    fake.ioctl(fd, 1, 0);
    expect(fake.traps).toEqual(['answer to id 0, which is not in flight: kernel oops']);
  });

  test('touches a page after its answer', () => {
    const { fake, fd, mapping } = mapped('xenserver');
    const watch = fake.watch(fd, () => undefined);
    fake.issue(BLKIF_OP_READ, 0, Buffer.alloc(512));
    watch.poll();
    mapping.bytes.fill(0, 64, 64 + 12);
    mapping.bytes.writeUInt32LE(1, 8);
    fake.ioctl(fd, 1, 0);
    expect(fake.traps).toEqual([]);
    mapping.bytes[4096] = 0;
    fake.checkPages();
    expect(fake.traps).toEqual(['page 0 was touched outside the life of its request']);
  });

  test('takes XenServer down in another order', () => {
    const { fake, fd, mapping } = mapped('xenserver');
    fake.disk = { sectors: 1, flags: 0, physicalSectorSize: 512 };
    mapping.unmap();
    fake.close(fd);
    expect(fake.traps).toHaveLength(1);
  });

  test("removes OpenXT's device after it was asked to close", () => {
    const { fake, fd } = mapped('openxt');
    fake.sendMessage(3);
    fake.ioctl(fd, 207, 0);
    expect(fake.traps).toEqual(['REMOVE_DEVICE after CLOSE: the tap leaks']);
  });
});

const NO_EVENTS = { onStopped: () => undefined, onCloseAsked: () => undefined };

function kernelWithControl(): FakeKernel {
  Object.assign(kernel, { options: { control: '/dev/blktap/control' } });
  return kernel;
}
