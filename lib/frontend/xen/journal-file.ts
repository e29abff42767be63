/** The file that keeps the journals of a guest's rings, mapped by whichever process serves them. */
import { closeSync, fstatSync, readSync, renameSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { type Mapping, mapShared } from '../../../native-bindings/mapping';
import * as posix from '../../../native-bindings/posix';
import { assert } from '../../assert';
import { errnoOf, sentenceOf, TapdiskError } from '../../errors';
import { journalBytes } from '../../ring';

/** docs/formats.md describes it. */
const VERSION = 1;
const MAGIC = Buffer.from('TDTSRJNL', 'latin1');
const VERSION_OFFSET = 8;
const HEADER_BYTES = 4096;
const IDENTITY_OFFSET = 16;
const SUFFIX = '.ring-journal';

/** Which rings a journal is of: all that a guest chose when it made them. */
export interface RingsIdentity {
  readonly domid: number;
  readonly abi: 'x86_64' | 'x86_32';
  readonly ringOrder: number;
  readonly queues: readonly {
    readonly ringRefs: readonly number[];
    readonly eventChannel: number;
  }[];
}

export interface JournalPlace {
  readonly journalDirectory: string;
  readonly journalKey: string;
}

export function journalPath({ journalDirectory, journalKey }: JournalPlace): string {
  return join(journalDirectory, journalKey + SUFFIX);
}

export class JournalFile {
  private constructor(
    private readonly mapping: Mapping,
    private readonly ringEntries: number,
    /** Whether it was found, and is of the rings that were asked for. */
    readonly isFound: boolean,
  ) {}

  /**
   * The journal of these rings where there is one, else a new and empty one.
   *
   * @throws TapdiskError RING_JOURNAL_VERSION_UNKNOWN, RING_JOURNAL_UNUSABLE
   */
  static find(place: JournalPlace, rings: RingsIdentity, ringEntries: number): JournalFile {
    const path = journalPath(place);
    try {
      const fd = openIfThere(path);
      if (fd === null) return JournalFile.create(place, rings, ringEntries);
      try {
        if (!isOf(path, fd, rings, ringEntries)) {
          return JournalFile.create(place, rings, ringEntries);
        }
        return JournalFile.map(fd, rings, ringEntries, true);
      } finally {
        closeSync(fd);
      }
    } catch (error) {
      throw asRefusal(path, error);
    }
  }

  /**
   * A new and empty one, in place of any that is there.
   *
   * @throws TapdiskError RING_JOURNAL_UNUSABLE
   */
  static create(place: JournalPlace, rings: RingsIdentity, ringEntries: number): JournalFile {
    const path = journalPath(place);
    const unfinished = `${path}.new`;
    try {
      rmSync(unfinished, { force: true });
      const fd = posix.open(unfinished, posix.O_RDWR | posix.O_CREAT | posix.O_EXCL, 0o600);
      try {
        // Taken from the file system now: a page that it cannot give when it is touched is a SIGBUS.
        posix.fallocate(fd, 0, 0, fileBytes(rings, ringEntries));
        writeSync(fd, encodeHeader(rings), 0, HEADER_BYTES, 0);
        // Last, and in one step: a journal with its name is whole.
        renameSync(unfinished, path);
        return JournalFile.map(fd, rings, ringEntries, false);
      } finally {
        closeSync(fd);
      }
    } catch (error) {
      throw asRefusal(path, error);
    }
  }

  private static map(
    fd: number,
    rings: RingsIdentity,
    ringEntries: number,
    isFound: boolean,
  ): JournalFile {
    return new JournalFile(mapShared(fd, fileBytes(rings, ringEntries)), ringEntries, isFound);
  }

  /** Memory of a queue's journal. */
  ofQueue(queue: number): Buffer {
    const bytes = journalBytes(this.ringEntries);
    const from = HEADER_BYTES + queue * bytes;
    return this.mapping.bytes.subarray(from, from + bytes);
  }

  /** Leaves it to whoever comes next. */
  close(): void {
    this.mapping.unmap();
  }
}

/** The rings are left for good. */
export function removeJournal(place: JournalPlace): void {
  rmSync(journalPath(place), { force: true });
}

function fileBytes(rings: RingsIdentity, ringEntries: number): number {
  return HEADER_BYTES + rings.queues.length * journalBytes(ringEntries);
}

function openIfThere(path: string): number | null {
  try {
    return posix.open(path, posix.O_RDWR);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null;
    throw error;
  }
}

function isOf(path: string, fd: number, rings: RingsIdentity, ringEntries: number): boolean {
  const header = Buffer.alloc(HEADER_BYTES);
  readSync(fd, header, 0, HEADER_BYTES, 0);
  if (!header.subarray(0, MAGIC.length).equals(MAGIC)) return false;
  const version = header.readUInt32LE(VERSION_OFFSET);
  if (version !== VERSION) {
    throw new TapdiskError(
      'RING_JOURNAL_VERSION_UNKNOWN',
      `${path} is of version ${version}, and this program knows version ${VERSION}; ` +
        'start the program that wrote it, or restart the guest.',
    );
  }
  return header.equals(encodeHeader(rings)) && fstatSync(fd).size >= fileBytes(rings, ringEntries);
}

/** Magic, version, then from IDENTITY_OFFSET on what the guest chose, u32 each; the rest is 0. */
function encodeHeader({ domid, abi, ringOrder, queues }: RingsIdentity): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  MAGIC.copy(header);
  header.writeUInt32LE(VERSION, VERSION_OFFSET);
  const numbers = [domid, abi === 'x86_64' ? 64 : 32, ringOrder, queues.length];
  for (const { eventChannel, ringRefs } of queues) numbers.push(eventChannel, ...ringRefs);
  assert(IDENTITY_OFFSET + numbers.length * 4 <= HEADER_BYTES, 'the rings fit the header');
  numbers.forEach((value, at) => header.writeUInt32LE(value, IDENTITY_OFFSET + at * 4));
  return header;
}

function asRefusal(path: string, error: unknown): unknown {
  if (error instanceof TapdiskError) return error;
  return new TapdiskError(
    'RING_JOURNAL_UNUSABLE',
    `${path} cannot be used (${sentenceOf(error)}), so the guest's rings are not served: ` +
      'mend the runtime directory, then attach the disk afresh.',
    { cause: error },
  );
}
