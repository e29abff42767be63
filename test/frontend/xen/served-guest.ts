/** Guests whose rings are served, for one test file. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TapdiskError } from '../../../lib/errors';
import { openXenRings } from '../../../lib/frontend/xen/open-xen-rings';
import type { XenRings } from '../../../lib/frontend/xen/rings';
import type { BlockDevice } from '../../../lib/vbd/block-device';
import { FakeGuest, type GuestShape, type Segment } from './fake-guest';

export const directory = mkdtempSync(join(tmpdir(), 'xen-rings-'));
export const journal = join(directory, 'vbd-5-51712.ring-journal');
afterAll(() => rmSync(directory, { recursive: true }));

const guests: FakeGuest[] = [];
afterEach(() => {
  rmSync(journal, { force: true });
  for (const guest of guests.splice(0)) guest.close();
});

export function newGuest(shape?: GuestShape): FakeGuest {
  const guest = new FakeGuest(shape);
  guests.push(guest);
  return guest;
}

export interface Served {
  readonly rings: XenRings;
  readonly stops: TapdiskError[];
}

export function open(guest: FakeGuest, disk: BlockDevice, takenOver = false): XenRings {
  return serve(guest, disk, takenOver).rings;
}

export function serve(guest: FakeGuest, disk: BlockDevice, takenOver = false): Served {
  const stops: TapdiskError[] = [];
  const rings = openXenRings(
    { ...guest.address, takenOver, journalDirectory: directory, journalKey: 'vbd-5-51712' },
    disk,
    { onStopped: (reason) => stops.push(reason) },
    guest.system,
    guest.events.watch,
  );
  rings.start();
  return { rings, stops };
}

export function pages(count: number, first = 0): Segment[] {
  return Array.from({ length: count }, (_, at) => ({ page: first + at }));
}
