/** A volume's record: what a pool's coordination keeps about a volume besides its chunk map. */

/** One volume. Layer ids are unique within the pool, rise, and are never reused; 0 is no layer. */
export interface VolumeRecord {
  readonly name: string;
  /** Random, so that a volume deleted and made anew is not taken for the old one. */
  readonly uuid: string;
  readonly sizeBytes: number;
  readonly chunkBytes: number;
  /** The layer that takes this volume's writes. */
  readonly layer: number;
  /** Older, frozen layers that the chunk map may still name. */
  readonly frozenLayers: readonly number[];
  /** Rises with every attach. */
  readonly epoch: number;
  readonly createdAt: string;
}

/** Who holds a volume. */
export interface AttachOwner {
  readonly host: string;
  readonly pid: number;
  readonly readOnly: boolean;
  readonly attachedAt: string;
}
