/** A guest that obeys nothing: a stand-in device's memory and doorbell, in a test's own hands. */
import { FrontRing, initialiseSharedRing, PAGE_BYTES } from '../../lib/ring';
import type { Mapping } from '../../native-bindings/mapping';
import { ShmDevice } from '../../lib/frontend/shm/shm-device';
import { ShmDoorbell } from '../../lib/frontend/shm/shm-doorbell';
import { shmAbi } from '../../lib/frontend/shm/shm-geometry';
import { readState, ShmSide } from '../../lib/frontend/shm/shm-side';

/** Made before its back end starts, so that there is nobody to wait for. */
export class RawGuest {
  readonly device: ShmDevice;
  readonly doorbell: ShmDoorbell;
  ring!: FrontRing;
  private readonly side: ShmSide;
  private readonly mapping: Mapping;
  private session = 0;
  private closed = false;

  constructor(directory: string) {
    this.device = ShmDevice.open(directory);
    this.side = ShmSide.take(this.device, 'front');
    this.mapping = this.device.map();
    this.doorbell = new ShmDoorbell(this.device, 'front');
    this.makeRing();
  }

  get memory(): Buffer {
    return this.mapping.bytes;
  }

  get ringBytes(): Buffer {
    return this.memory.subarray(0, this.device.geometry.ringPages * PAGE_BYTES);
  }

  dataPage(page: number): Buffer {
    const from = (this.device.geometry.ringPages + page) * PAGE_BYTES;
    return this.memory.subarray(from, from + PAGE_BYTES);
  }

  /** A fresh ring and session, whatever the back end does at the time. */
  makeRing(): void {
    initialiseSharedRing(this.ringBytes);
    const { geometry } = this.device;
    this.ring = new FrontRing(this.ringBytes, shmAbi(geometry), geometry.ringPages);
    this.session++;
    this.side.announce(this.session, 'connected');
    this.doorbell.ringState();
  }

  leave(): void {
    this.side.announce(this.session, 'closed');
    this.doorbell.ringState();
  }

  backEndState(): string | undefined {
    return readState(this.device, 'back')?.state;
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.doorbell.close();
    this.mapping.unmap();
    this.side.release();
  }
}
