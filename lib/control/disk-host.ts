/** What toolstacks and admins may ask of a tapdisk process; lib/tapdisk implements it. */

/** What IMG tells the toolstack. */
export interface OpenedImage {
  readonly sectors: number;
  readonly sectorSize: number;
  /** Bits of blkif.h's VDISK_*: CDROM 1, REMOVABLE 2, READONLY 4. */
  readonly info: number;
}

/** The data path's part of the two-FIFO protocol, by the toolstack's cookie. */
export interface DiskHost {
  /** PARAMS: opens `path` ("pool/volume"). Rejects with a TapdiskError; nothing is left open then. */
  open(
    cookie: number,
    image: { path: string; readOnly: boolean; driverType: number },
  ): Promise<OpenedImage>;
  /** NEWDEV: maps the character device and begins to serve its ring. */
  connect(cookie: number, device: { minor: number; domid: number }): Promise<void>;
  /** CLOSE: drains, flushes, unmaps, gives the volume back. Unknown cookies reject. */
  close(cookie: number): Promise<void>;
  /** Disks open now: the process ends when a CLOSE leaves none. */
  readonly openDisks: number;
}

/**
 * `standby`: the volume is another's, and is taken when that one lets go of it. `stalled`: the right
 * to it is unconfirmed, so requests wait. `lost`: another has it now, and every request fails.
 */
export type DiskState =
  'standby' | 'opened' | 'running' | 'paused' | 'stalled' | 'lost' | 'stopped';

/** How far a wait is whose end is known. */
export interface WaitProgress {
  readonly waitedMs: number;
  readonly totalMs: number;
}

/** One line of `list --running`. */
export interface DiskStatus {
  readonly cookie: number;
  readonly pid: number;
  readonly volume: string;
  /** Path of the ring's device, or null before NEWDEV. */
  readonly device: string | null;
  readonly domid: number | null;
  readonly state: DiskState;
  /** Why a stopped ring was stopped, or what a standby waits for; else null. */
  readonly reason: string | null;
  /** Of a steal; null where nobody knows how long it takes. */
  readonly progress?: WaitProgress | null | undefined;
  readonly readOnly: boolean;
  /** Path of the trace being recorded, or null. */
  readonly recording: string | null;
}

/** Nested plain JSON: counters and gauges of one disk. */
export type DiskStatistics = Readonly<Record<string, unknown>>;

/** A recording that has ended. */
export interface RecordedTrace {
  readonly path: string;
  readonly requests: number;
  /** 'overloaded' and 'write-error': it ended by itself, before it was asked to. */
  readonly endReason: 'stopped' | 'overloaded' | 'write-error';
}

/** A disk that another process serves now. */
export interface HandedOver {
  /** The standby that has it, "host:pid". */
  readonly to: string;
  /** From the last request taken here until nothing of the ring and the volume was ours. */
  readonly blackoutMs: number;
}

/** The size that a volume shall have, or by how much it shall grow. */
export type NewSize = { readonly toBytes: number } | { readonly byBytes: number };

/** A running disk that has another size. */
export interface ResizedDisk {
  readonly beforeBytes: number;
  readonly sizeBytes: number;
  /** Its user learns of it now; else when it connects, or its device is made, anew. */
  readonly guestTold: boolean;
}

/** What a control socket serves. All by cookie; unknown ones reject with DISK_NOT_FOUND. */
export interface DiskAdmin {
  list(): DiskStatus[];
  statistics(cookie: number): Promise<DiskStatistics>;
  /** Resolves when no request is in flight and none will be taken until `resume`. */
  pause(cookie: number): Promise<void>;
  resume(cookie: number): Promise<void>;
  /** As CLOSE on the pipes. */
  detach(cookie: number): Promise<void>;
  /**
   * Gives a running disk to a process that stands by: to the one named, or the only one. Where it
   * rejects, the disk is served as before.
   */
  handOver(cookie: number, to: string | undefined): Promise<HandedOver>;
  /**
   * Makes a disk larger while it is used. The same size again settles what was cut short.
   */
  resize(cookie: number, size: NewSize): Promise<ResizedDisk>;
  startRecording(cookie: number, trace: { path: string; payload: 'hash' | 'full' }): Promise<void>;
  stopRecording(cookie: number): Promise<RecordedTrace>;
}
