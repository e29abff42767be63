/** The disks of one tapdisk process, as its pipes and its control socket see them. */
import type {
  DiskAdmin,
  DiskHost,
  DiskStatistics,
  DiskStatus,
  HandedOver,
  NewSize,
  OpenedImage,
  RecordedTrace,
  ResizedDisk,
} from '../control/disk-host';
import type { Log } from '../control/log';
import { sentenceOf, TapdiskError } from '../errors';
import { Disk } from './disk';
import { diskByCookie } from './disk-by-cookie';

export class TapdiskProcess implements DiskHost, DiskAdmin {
  private readonly disks = new Map<number, Disk>();
  /** Cookies whose volume is being opened. */
  private readonly opening = new Set<number>();

  constructor(
    private readonly log: Log,
    /** Called after a disk was closed by an admin or by the other side of its ring. */
    private readonly onClosed: () => void,
  ) {}

  get openDisks(): number {
    return this.disks.size + this.opening.size;
  }

  async open(cookie: number, image: { path: string; readOnly: boolean }): Promise<OpenedImage> {
    if (this.disks.has(cookie) || this.opening.has(cookie)) {
      throw new TapdiskError(
        'COOKIE_BUSY',
        `cookie ${cookie} names an open disk already; close it first`,
      );
    }
    this.opening.add(cookie);
    try {
      const disk = await Disk.open({
        cookie,
        path: image.path,
        readOnly: image.readOnly,
        log: this.log,
        onCloseAsked: () => this.closeAsked(cookie),
      });
      this.disks.set(cookie, disk);
      return disk.image;
    } finally {
      this.opening.delete(cookie);
    }
  }

  async connect(cookie: number, device: { minor: number; domid: number }): Promise<void> {
    this.disk(cookie).connect(device);
  }

  async close(cookie: number): Promise<void> {
    await this.disk(cookie).close();
    this.disks.delete(cookie);
  }

  /** Closes every disk; rejects with the first failure after having tried all. */
  async closeAll(): Promise<void> {
    const results = await Promise.allSettled([...this.disks.keys()].map((c) => this.close(c)));
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }

  list(): DiskStatus[] {
    return [...this.disks.values()].map((disk) => disk.status());
  }

  async statistics(cookie: number): Promise<DiskStatistics> {
    return this.disk(cookie).statistics();
  }

  async pause(cookie: number): Promise<void> {
    await this.disk(cookie).pause();
  }

  async resume(cookie: number): Promise<void> {
    this.disk(cookie).resume();
  }

  async detach(cookie: number): Promise<void> {
    await this.close(cookie);
    this.onClosed();
  }

  async handOver(cookie: number, to: string | undefined): Promise<HandedOver> {
    const handed = await this.disk(cookie).handOver(to);
    // The disk is the other's now: how this one ends must not look like a failed hand-over.
    this.closeAsked(cookie);
    return handed;
  }

  resize(cookie: number, size: NewSize): Promise<ResizedDisk> {
    return this.disk(cookie).resize(size);
  }

  async startRecording(
    cookie: number,
    trace: { path: string; payload: 'hash' | 'full' },
  ): Promise<void> {
    await this.disk(cookie).startRecording(trace);
  }

  async stopRecording(cookie: number): Promise<RecordedTrace> {
    return this.disk(cookie).stopRecording();
  }

  private disk(cookie: number): Disk {
    return diskByCookie(this.disks, cookie);
  }

  private closeAsked(cookie: number): void {
    this.detach(cookie).catch((error: unknown) => {
      this.log.error({ cookie }, `not closed: ${sentenceOf(error)}`);
    });
  }
}
