/** Waits for a volume of a local pool by trying its attach lock until it is free. */
import { TapdiskError } from '../../errors';
import type { Attachment, Standby } from '../coordination';
import { STANDBY_RETRY_MS } from '../limits';
import type { VolumeRecord } from '../volume-record';

export interface LocalStandbySetting {
  readonly record: VolumeRecord;
  readonly name: string;
  /** Attaches for writing. @throws TapdiskError VOLUME_ATTACHED while another has it */
  readonly attach: () => Promise<Attachment>;
  /** Takes its name off the list. */
  readonly withdraw: () => Promise<void>;
  /** Called when the waiting is over, however it ended. */
  readonly ended: (standby: LocalStandby) => void;
}

export class LocalStandby implements Standby {
  readonly name: string;
  readonly record: VolumeRecord;
  readonly attached: Promise<Attachment>;
  private isCancelled = false;
  private wake: () => void = () => {};

  constructor(private readonly setting: LocalStandbySetting) {
    this.name = setting.name;
    this.record = setting.record;
    this.attached = this.wait().finally(async () => {
      await setting.withdraw();
      setting.ended(this);
    });
    // Whoever cancels may never have looked at it.
    this.attached.catch(() => {});
  }

  /** Resolves when no lock will be taken any more; one that was just taken is given back. */
  async cancel(): Promise<void> {
    this.isCancelled = true;
    this.wake();
    await this.attached.catch(() => {});
  }

  private async wait(): Promise<Attachment> {
    while (!this.isCancelled) {
      const attachment = await this.tryOnce();
      if (attachment === null) await this.pause();
      else if (this.isCancelled) await attachment.release();
      else return attachment;
    }
    throw new TapdiskError(
      'STANDBY_CANCELLED',
      `the wait for volume "${this.record.name}" was ended before it was free`,
    );
  }

  private async tryOnce(): Promise<Attachment | null> {
    try {
      return await this.setting.attach();
    } catch (error) {
      if (error instanceof TapdiskError && error.code === 'VOLUME_ATTACHED') return null;
      throw error;
    }
  }

  private pause(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, STANDBY_RETRY_MS);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
