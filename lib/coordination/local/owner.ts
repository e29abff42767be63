/** Who has a volume: what an owner writes about itself, and whether that process still runs. */
import { hostname } from 'node:os';
import { z } from 'zod/v3';
import { integer } from '../../integer';
import { OWNER_BYTES, OWNER_HOST_LENGTH_MAX } from '../limits';
import { bootId, ownProcess, processStat } from '../process-identity';
import type { AttachOwner } from '../volume-record';

const ownerSchema = z.object({
  host: z.string(),
  pid: integer,
  readOnly: z.boolean(),
  attachedAt: z.string(),
  /** Of the kernel's boot: a pid means nothing after the next. */
  bootId: z.string(),
  /** In clock ticks since boot (proc(5), field 22 of stat): a pid may be given out again. */
  startTime: z.string(),
});

export type LocalOwner = AttachOwner & Readonly<z.infer<typeof ownerSchema>>;

/** This process as an owner. */
export function describeOwner(readOnly: boolean): LocalOwner {
  return {
    host: hostname().slice(0, OWNER_HOST_LENGTH_MAX),
    readOnly,
    attachedAt: new Date().toISOString(),
    ...ownProcess(),
  };
}

/** Padded to OWNER_BYTES, so that it overwrites its predecessor wholly. */
export function encodeOwner(owner: LocalOwner | null): Buffer {
  const bytes = Buffer.alloc(OWNER_BYTES, ' ');
  if (owner !== null) bytes.write(`${JSON.stringify(owner)}\n`, 'utf8');
  return bytes;
}

/** Null where nobody wrote, or what is there is no owner. */
export function decodeOwner(bytes: Buffer): LocalOwner | null {
  try {
    return ownerSchema.parse(JSON.parse(bytes.toString('utf8')));
  } catch {
    return null;
  }
}

/** Whether the process that wrote it still runs, as far as this process can see. */
export function ownerRuns(owner: LocalOwner): boolean {
  return owner.bootId === bootId() && processStat(owner.pid)?.startTime === owner.startTime;
}
