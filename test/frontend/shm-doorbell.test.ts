/** The back end's doorbell: it is read seldom, and what is said by it is still heard. */
import { closeSync } from 'node:fs';
import { join } from 'node:path';
import { ShmDevice } from '../../lib/frontend/shm/shm-device';
import { ShmFrontend } from '../../lib/frontend/shm/shm-frontend';
import { BLKTAP_GEOMETRY } from '../../lib/frontend/shm/shm-geometry';
import { BLKIF_OP_WRITE } from '../../lib/ring';
import { openIoEngine } from '../../native-bindings/open-engine';
import * as posix from '../../native-bindings/posix';
import { watchReadable, type WatchReadable } from '../../native-bindings/readiness';
import { FakeBlockDevice } from './fake-block-device';
import { temporaryDirectory } from './temporary-directory';
import { openGuest } from './waiting-guest';

const FIONREAD = 0x541b;

/** Bytes of the doorbell that the back end has not read. */
function unreadBytes(directory: string): number {
  const fd = posix.open(join(directory, 'to-back'), posix.O_RDWR | posix.O_NONBLOCK);
  const count = Buffer.alloc(4);
  posix.ioctl(fd, FIONREAD, count);
  closeSync(fd);
  return count.readInt32LE();
}

function describeDoorbell(open: () => { watch: WatchReadable; close(): void }): void {
  test('requests are served without its being read, which happens later', async () => {
    const directory = join(temporaryDirectory(), 'blktap1');
    ShmDevice.create(directory, BLKTAP_GEOMETRY);
    const { watch, close } = open();
    const events = { onStopped: () => undefined };
    const frontend = ShmFrontend.open(directory, new FakeBlockDevice(), events, watch);
    frontend.start();
    const first = await openGuest(directory);
    let unreadMax = 0;
    for (let round = 0; round < 50; round++) {
      const slot = first.guest.acquireSlot();
      expect(await first.ask(slot, BLKIF_OP_WRITE, 0, 8)).toBe(0);
      first.guest.releaseSlot(slot);
      unreadMax = Math.max(unreadMax, unreadBytes(directory));
    }
    expect(unreadMax).toBeGreaterThan(0);
    while (unreadBytes(directory) > 0) await new Promise((resolve) => setTimeout(resolve, 1));
    // The next guest's news comes while bytes of the first one's requests may be unread.
    await first.ask(first.guest.acquireSlot(), BLKIF_OP_WRITE, 0, 8);
    first.guest.close();
    const second = await openGuest(directory);
    expect(await second.ask(second.guest.acquireSlot(), BLKIF_OP_WRITE, 0, 8)).toBe(0);
    second.guest.close();
    await frontend.close();
    close();
  });
}

describe('heard by libuv', () => {
  describeDoorbell(() => ({ watch: watchReadable, close: () => undefined }));
});

describe('heard by an I/O engine', () => {
  describeDoorbell(() => {
    const engine = openIoEngine(jest.fn(), jest.fn());
    return {
      watch: (...watched) => engine.watchReadable(...watched),
      close: () => engine.close(),
    };
  });
});
