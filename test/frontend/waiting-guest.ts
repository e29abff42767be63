/** A guest whose requests can be awaited, one promise each. */
import { ShmGuest } from '../../lib/frontend/shm/shm-guest';

export interface GuestEnd {
  readonly guest: ShmGuest;
  /** Submits and pushes; resolves to the status. */
  ask(slot: number, operation: number, sector: number, sectorCount: number): Promise<number>;
  readonly events: { lost: number; resized: number; broken: string[] };
}

export async function openGuest(directory: string, timeoutMs?: number): Promise<GuestEnd> {
  const waiting = new Map<number, (status: number) => void>();
  const events = { lost: 0, resized: 0, broken: [] as string[] };
  const guest = await ShmGuest.open(
    directory,
    {
      completed(slot, status) {
        const resolve = waiting.get(slot);
        waiting.delete(slot);
        resolve?.(status);
      },
      backEndLost: () => events.lost++,
      resized: () => events.resized++,
      broken: (reason) => events.broken.push(reason.message),
    },
    timeoutMs,
  );
  return {
    guest,
    events,
    ask: (slot, operation, sector, sectorCount) =>
      new Promise((resolve) => {
        waiting.set(slot, resolve);
        guest.submit(slot, operation, sector, sectorCount);
        guest.push();
      }),
  };
}
