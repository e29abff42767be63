/** A DiskAdmin with one disk of cookie 5, whose calls can be noted, refused and held. */
import type {
  DiskAdmin,
  DiskStatistics,
  DiskStatus,
  HandedOver,
  NewSize,
  RecordedTrace,
  ResizedDisk,
} from '../../lib/control/disk-host';
import { TapdiskError } from '../../lib/errors';

export class FakeAdmin implements DiskAdmin {
  readonly calls: unknown[] = [];
  /** Where set, `pause` resolves only with it. */
  held: Promise<void> | null = null;

  constructor(readonly volume = 'main/disk1') {}

  list(): DiskStatus[] {
    return [
      {
        cookie: 5,
        pid: process.pid,
        volume: this.volume,
        device: '/run/rings/blktap0',
        domid: 3,
        state: 'running',
        reason: null,
        readOnly: false,
        recording: null,
      },
    ];
  }

  async statistics(cookie: number): Promise<DiskStatistics> {
    this.check('statistics', cookie);
    return { reads: 1, nested: { latencyUs: [1, 2] } };
  }

  async pause(cookie: number): Promise<void> {
    this.check('pause', cookie);
    await this.held;
  }

  async resume(cookie: number): Promise<void> {
    this.check('resume', cookie);
  }

  async detach(cookie: number): Promise<void> {
    this.check('detach', cookie);
  }

  async handOver(cookie: number, to: string | undefined): Promise<HandedOver> {
    this.check('handOver', cookie, to);
    return { to: to ?? 'there:7', blackoutMs: 12.5 };
  }

  async resize(cookie: number, size: NewSize): Promise<ResizedDisk> {
    this.check('resize', cookie, size);
    const beforeBytes = 2 ** 30;
    const sizeBytes = 'toBytes' in size ? size.toBytes : beforeBytes + size.byBytes;
    return { beforeBytes, sizeBytes, guestTold: true };
  }

  async startRecording(
    cookie: number,
    trace: { path: string; payload: 'hash' | 'full' },
  ): Promise<void> {
    this.check('startRecording', cookie, trace);
  }

  async stopRecording(cookie: number): Promise<RecordedTrace> {
    this.check('stopRecording', cookie);
    return { path: '/tmp/trace', requests: 17, endReason: 'stopped' };
  }

  private check(...call: [string, number, ...unknown[]]): void {
    this.calls.push(call);
    if (call[1] !== 5) {
      throw new TapdiskError('DISK_NOT_FOUND', `There is no disk with cookie ${call[1]}.`);
    }
  }
}
