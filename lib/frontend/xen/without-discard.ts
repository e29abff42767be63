/** A disk whose toolstack wants its space kept (libxl's `discard=no`): the guest can give none back. */
import type { BlockDevice } from '../../vbd/block-device';
import type { VbdRequest } from '../../vbd/request';

export class WithoutDiscard implements BlockDevice {
  /** None: a ring then refuses every discard, for guests who ask although none was offered. */
  readonly discardGranularityBytes = 0;

  constructor(private readonly inner: BlockDevice) {}

  get sectors(): number {
    return this.inner.sectors;
  }

  get readOnly(): boolean {
    return this.inner.readOnly;
  }

  acquire(): VbdRequest | null {
    return this.inner.acquire();
  }

  submit(request: VbdRequest): void {
    this.inner.submit(request);
  }

  kick(): void {
    this.inner.kick();
  }

  release(request: VbdRequest): void {
    this.inner.release(request);
  }
}
