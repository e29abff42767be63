/** What becomes of blktap2's block device and tap when a disk is closed, in use or not. */
import { BlktapFrontend } from '../../lib/frontend/blktap/blktap-frontend';
import { freeTap } from '../../lib/frontend/blktap/blktap2-control';
import { REMOVE_DEVICE_TIMEOUT_MS } from '../../lib/frontend/limits';
import { FakeBlockDevice } from './fake-block-device';
import { BLKIF_OP_WRITE, FakeKernel, type KernelKind } from './fake-kernel';

const CONTROL = '/dev/blktap-control';

let kernel: FakeKernel;
let frontend: BlktapFrontend;
let closesAsked: number;

function begin(kind: KernelKind): void {
  kernel = new FakeKernel(kind, { control: CONTROL });
  closesAsked = 0;
  const events = {
    onStopped: (reason: Error) => kernel.traps.push(reason.message),
    onCloseAsked: () => closesAsked++,
  };
  frontend = BlktapFrontend.open(kernel.path, new FakeBlockDevice(), events, kernel);
  frontend.start();
}

async function until(condition: () => boolean): Promise<void> {
  for (let turns = 0; !condition(); turns++) {
    if (turns > 2000) throw new Error('it never came about');
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
}

async function expectServed(): Promise<void> {
  const io = kernel.issue(BLKIF_OP_WRITE, 0, Buffer.alloc(512, 1));
  await until(() => io.status !== undefined);
  expect(io.status).toBe(0);
}

/** Closes with the clock at the deadline, so that nothing is waited for; resolves to the refusal. */
async function closeInVain(): Promise<unknown> {
  const now = jest.spyOn(performance, 'now');
  now.mockReturnValueOnce(0).mockReturnValue(REMOVE_DEVICE_TIMEOUT_MS);
  try {
    return await frontend.close().then(
      () => undefined,
      (error: unknown) => error,
    );
  } finally {
    now.mockRestore();
  }
}

describe.each(['xenserver', 'openxt'] as const)('on %s', (kind) => {
  test('a block device that is in use is served on, and closed another time', async () => {
    begin(kind);
    kernel.blockDeviceOpen = true;
    expect(await closeInVain()).toMatchObject({ code: 'BLKTAP_BUSY', transient: true });
    await expectServed();
    kernel.closeBlockDevice();
    await frontend.close();
    expect(kernel.disk).toBeNull();
    expect(kernel.traps).toEqual([]);
  });

  test('the tap stays with whoever allocated it, who can free it afterwards', async () => {
    begin(kind);
    await frontend.close();
    expect(kernel.tapAllocated).toBe(true);
    expect(freeTap(kernel, kernel.minor)).toBe('freed');
    expect(kernel.tapAllocated).toBe(false);
    expect(closesAsked).toBe(0);
    expect(kernel.traps).toEqual([]);
  });
});

test('OpenXT, that asks to close a block device in use, asks again at its last use', async () => {
  begin('openxt');
  kernel.blockDeviceOpen = true;
  expect(freeTap(kernel, kernel.minor)).toBe('freed');
  await until(() => closesAsked === 1);
  expect(await closeInVain()).toMatchObject({ code: 'BLKTAP_BUSY' });
  kernel.closeBlockDevice();
  await until(() => closesAsked === 2);
  await frontend.close();
  expect(kernel.tapAllocated).toBe(false);
  expect(kernel.traps).toEqual([]);
});
