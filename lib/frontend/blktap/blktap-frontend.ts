/** Serves a VBD to blktap's kernel side: blktap1, XenServer's blktap2 and OpenXT's, by itself. */
import { setTimeout as sleep } from 'node:timers/promises';
import { sentenceOf, TapdiskError } from '../../errors';
import { ABI_BLKTAP2, ABI_NATIVE, BackRing, PAGE_BYTES } from '../../ring';
import type { BlockDevice } from '../../vbd/block-device';
import type { Frontend, FrontendEvents, FrontendKind } from '../frontend';
import { DRAIN_TIMEOUT_MS, REMOVE_DEVICE_RETRY_MS, REMOVE_DEVICE_TIMEOUT_MS } from '../limits';
import { newRingCounters } from '../ring-counters';
import type { RingDevice } from '../ring-device';
import { RingServer } from '../ring-server';
import { DataPageMapper } from '../segment-mapper';
import {
  BLKTAP_RING_PAGES,
  BLKTAP_SEGMENTS_MAX,
  BLKTAP_SLOTS,
  DEVICE_FLAG_FLUSH,
  DEVICE_FLAG_TRIM,
  MESSAGE_CLOSE,
  MESSAGE_PAUSE,
  MESSAGE_RESUME,
} from './blktap-abi';
import type { BlktapSyscalls } from './blktap-syscalls';
import { CharacterDevice } from './character-device';
import { identifyModule } from './identify-module';
import { linuxSyscalls } from './linux-syscalls';

export class BlktapFrontend implements Frontend {
  readonly kind: FrontendKind;
  readonly flushCapable: boolean;
  /** The kernel fails what is pending with EIO when its ring is unmapped. */
  readonly survivesClose = false;
  readonly steadyMemory = [];
  readonly counters = newRingCounters();

  private readonly server: RingServer;
  private pausedByKernel = false;
  private pausedByUs = false;
  private closeAsked = false;

  /**
   * Opens, maps and sets up the device; blktap2's block device exists from here on.
   *
   * @throws TapdiskError of findDevice, identifyModule and CharacterDevice
   */
  static open(
    path: string,
    blockDevice: BlockDevice,
    events: FrontendEvents,
    system: BlktapSyscalls = linuxSyscalls,
  ): BlktapFrontend {
    const device = new CharacterDevice(path, identifyModule(path, system), system);
    device.setUp(blockDevice);
    return new BlktapFrontend(device, blockDevice, events);
  }

  private constructor(
    private readonly device: CharacterDevice,
    blockDevice: BlockDevice,
    private readonly events: FrontendEvents,
  ) {
    this.kind = device.module.kind;
    // blktap1's guests are told of no flush: its kernels forward at most barriers.
    this.flushCapable = (device.flags & DEVICE_FLAG_FLUSH) !== 0;
    this.server = new RingServer(ringDeviceOf(device), blockDevice, {
      counters: this.counters,
      onStopped: (reason) => events.onStopped(reason),
    });
  }

  get path(): string {
    return this.device.path;
  }

  get stopped(): TapdiskError | null {
    return this.server.stopped;
  }

  get inFlight(): number {
    return this.server.inFlight;
  }

  start(): void {
    this.device.startWatching(() => this.readable());
    this.server.pollOnce();
  }

  pause(): void {
    this.pausedByUs = true;
    this.server.pause();
  }

  resume(): void {
    this.pausedByUs = false;
    if (!this.pausedByKernel) this.server.resume();
  }

  drained(timeoutMs = DRAIN_TIMEOUT_MS): Promise<void> {
    return this.server.drained(timeoutMs);
  }

  async close(): Promise<void> {
    // Served until it is gone: whoever has the block device open may still have to write to it.
    await this.removeBlockDevice();
    await this.server.close(DRAIN_TIMEOUT_MS);
    this.device.close();
  }

  private async removeBlockDevice(): Promise<void> {
    const deadline = performance.now() + REMOVE_DEVICE_TIMEOUT_MS;
    while (!this.device.removeBlockDevice()) {
      if (performance.now() >= deadline) {
        // The kernel's wish to close stands; the block device's last user will wake us.
        this.closeAsked = false;
        throw new TapdiskError(
          'BLKTAP_BUSY',
          `The block device of ${this.path} is still open somewhere; unmount it or stop the ` +
            `guest that has it, then detach again. It is being served as before.`,
          { transient: true },
        );
      }
      await sleep(REMOVE_DEVICE_RETRY_MS);
    }
  }

  private readable(): void {
    if (this.kind === 'blktap2-openxt') this.lookAtMessage();
    this.server.wake();
  }

  private lookAtMessage(): void {
    switch (this.device.message) {
      case MESSAGE_PAUSE:
        if (!this.pausedByKernel) this.pauseForKernel();
        return;
      case MESSAGE_RESUME:
        if (this.pausedByKernel) this.resumeForKernel();
        return;
      case MESSAGE_CLOSE:
        if (this.closeAsked) return;
        this.closeAsked = true;
        this.events.onCloseAsked();
        return;
    }
  }

  private pauseForKernel(): void {
    this.pausedByKernel = true;
    this.server.pause();
    this.server.drained(DRAIN_TIMEOUT_MS).then(
      () => this.answerMessage(() => this.device.acknowledgePause()),
      (error: unknown) => this.stopFor(error),
    );
  }

  private resumeForKernel(): void {
    this.answerMessage(() => this.device.acknowledgeResume());
    this.pausedByKernel = false;
    if (!this.pausedByUs) this.server.resume();
  }

  private answerMessage(answer: () => void): void {
    try {
      answer();
    } catch (error) {
      this.stopFor(error);
    }
  }

  private stopFor(error: unknown): void {
    this.events.onStopped(
      new TapdiskError(
        'BLKTAP_MESSAGE_FAILED',
        `The kernel's request to pause or resume ${this.path} could not be followed: ` +
          sentenceOf(error),
        { cause: error },
      ),
    );
  }
}

function ringDeviceOf(device: CharacterDevice): RingDevice {
  const { mapping, module, flags } = device;
  const isBlktap1 = module.kind === 'blktap1';
  const ringBytes = BLKTAP_RING_PAGES * PAGE_BYTES;
  return {
    ring: new BackRing(
      mapping.bytes.subarray(0, ringBytes),
      isBlktap1 ? ABI_NATIVE : ABI_BLKTAP2,
      BLKTAP_RING_PAGES,
      { notifyAlways: true },
    ),
    mapper: new DataPageMapper({
      memory: mapping,
      offset: ringBytes,
      pages: BLKTAP_SLOTS * BLKTAP_SEGMENTS_MAX,
      pagesPerSlot: BLKTAP_SEGMENTS_MAX,
      addressing: 'slot',
    }),
    idSlots: BLKTAP_SLOTS,
    indirectSegmentsMax: 0,
    barrier: isBlktap1,
    flush: isBlktap1 || (flags & DEVICE_FLAG_FLUSH) !== 0,
    discard: isBlktap1 || (flags & DEVICE_FLAG_TRIM) !== 0,
    poll: () => device.poll(),
    kick: () => device.kick(),
  };
}
