/** A volume that this process shall have and another still has: all is opened but the volume itself. */
import type { WaitProgress } from '../control/disk-host';
import type { Attachment } from '../coordination/coordination';
import type { VolumeRecord } from '../coordination/volume-record';
import { parseVolumeAddress } from '../pool/address';
import { openPool, type Pool } from '../pool/open-pool';
import type { ChunkStore } from '../store/chunk-store';
import type { AttachMode } from './disk-path';
import { ServedVolume, type ServeVolume } from './served-volume';

interface Wait {
  readonly record: VolumeRecord;
  readonly attached: Promise<Attachment>;
  /** Ends the wait where that can be done; else what comes of it is given back. */
  cancel(): Promise<void>;
}

export class WaitingVolume {
  /** Resolves once, when the volume is this process's and its chunk map is loaded. */
  readonly served: Promise<ServedVolume>;

  private constructor(
    private readonly setting: ServeVolume,
    private readonly pool: Pool,
    private readonly wait: Wait,
    private readonly store: ChunkStore | null,
    private readonly steal: StealProgress | null,
  ) {
    this.served = this.take();
    // Whoever cancels may never have looked at it.
    this.served.catch(() => {});
  }

  /**
   * Opens pool and store, and begins to wait: for whoever has the volume to let go of it, or by
   * `steal` for the time after which a dead owner can write no more. Where it rejects, nothing is
   * left open.
   *
   * @throws TapdiskError VOLUME_NOT_FOUND, and those of openPool
   */
  static async open(
    setting: ServeVolume,
    mode: Exclude<AttachMode, 'attach'>,
  ): Promise<WaitingVolume> {
    const address = parseVolumeAddress(setting.path);
    const pool = await openPool(
      address.pool,
      setting.env === undefined ? {} : { env: setting.env },
    );
    let store: ChunkStore | null = null;
    try {
      const { chunkBytes } = await pool.coordination.read(address.volume);
      if (!pool.storeNeedsAttachment) store = await pool.openStore({ chunkBytes, readOnly: false });
      if (mode === 'wait') {
        const standby = await pool.coordination.standBy(address.volume);
        return new WaitingVolume(setting, pool, standby, store, null);
      }
      const progress: StealProgress = { now: null };
      const stealing = await steal(pool, address.volume, progress);
      return new WaitingVolume(setting, pool, stealing, store, progress);
    } catch (error) {
      await store?.close();
      await pool.close();
      throw error;
    }
  }

  get record(): VolumeRecord {
    return this.wait.record;
  }

  /** What it waits for, for people. */
  get reason(): string {
    if (this.steal === null) return 'stands by until the volume is free or handed over';
    return 'waits until the previous owner can write no more';
  }

  get progress(): WaitProgress | null {
    return this.steal?.now ?? null;
  }

  /** Resolves when the volume is not this process's and will not be. */
  async cancel(): Promise<void> {
    await this.wait.cancel();
    const served = await this.served.catch(() => null);
    await served?.close();
  }

  private async take(): Promise<ServedVolume> {
    let attachment: Attachment;
    try {
      attachment = await this.wait.attached;
    } catch (error) {
      await this.store?.close();
      await this.pool.close();
      throw error;
    }
    return ServedVolume.begin(this.setting, this.pool, attachment, this.store);
  }
}

interface StealProgress {
  now: WaitProgress | null;
}

async function steal(pool: Pool, volume: string, progress: StealProgress): Promise<Wait> {
  const record = await pool.coordination.read(volume);
  const attached = pool.coordination.attach(volume, {
    readOnly: false,
    steal: true,
    onWaiting: (leftMs) => {
      const totalMs = Math.max(progress.now?.totalMs ?? 0, leftMs);
      progress.now = { waitedMs: totalMs - leftMs, totalMs };
    },
  });
  attached.catch(() => {});
  return { record, attached, cancel: async () => {} };
}
