/** A DiskHost without disks: notes what it is asked, and answers when the test says so. */
import type { DiskHost, OpenedImage } from '../../lib/control/disk-host';
import { TapdiskError } from '../../lib/errors';

export const FAKE_IMAGE: OpenedImage = { sectors: 0x1_0000_0010, sectorSize: 512, info: 0 };

export class FakeHost implements DiskHost {
  readonly calls: unknown[] = [];
  readonly open_ = new Set<number>();
  /** Paths whose open waits for `release`. */
  readonly held = new Map<string, () => void>();
  private readonly holds = new Map<string, Promise<void>>();
  /** Paths and cookies that are refused. */
  readonly refusedPaths = new Set<string>();
  readonly refusedCookies = new Set<number>();
  image = FAKE_IMAGE;

  hold(path: string): void {
    this.holds.set(path, new Promise((resolve) => this.held.set(path, resolve)));
  }

  get openDisks(): number {
    return this.open_.size;
  }

  async open(
    cookie: number,
    image: { path: string; readOnly: boolean; driverType: number },
  ): Promise<OpenedImage> {
    this.calls.push(['open', cookie, image]);
    await this.holds.get(image.path);
    if (this.refusedPaths.has(image.path)) {
      throw new TapdiskError('VOLUME_NOT_FOUND', `There is no volume ${image.path}.`);
    }
    this.open_.add(cookie);
    return this.image;
  }

  async connect(cookie: number, device: { minor: number; domid: number }): Promise<void> {
    this.calls.push(['connect', cookie, device]);
    await this.holds.get(`device ${device.minor}`);
    if (this.refusedCookies.has(cookie)) {
      throw new TapdiskError('DEVICE_MISSING', `There is no device ${device.minor}.`);
    }
  }

  async close(cookie: number): Promise<void> {
    this.calls.push(['close', cookie]);
    if (!this.open_.delete(cookie)) {
      throw new TapdiskError('DISK_NOT_FOUND', `There is no disk with cookie ${cookie}.`);
    }
  }
}
