/** A disk model in a file, so that another process can go on verifying (docs/formats-trace.md). */
import { open, rename, rm, type FileHandle } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { assert } from '../assert';
import { errnoOf, sentenceOf, TapdiskError } from '../errors';
import { DiskModel } from './disk-model';
import {
  MODEL_ALTERNATIVES_MAX,
  MODEL_NOTES_BYTES_MAX,
  MODEL_PAGES_MAX,
  MODEL_SETS_MAX,
} from './limits';
import type { PayloadHash } from './payload-hash';
import { TABLE_PAGE_SECTORS } from './sector-table';
import { VALUE_SET } from './sector-value';

const MAGIC = Buffer.from('TAPMODEL', 'latin1');
const VERSION = 1;
const HEADER_BYTES = 64;
const PAGE_RECORD_BYTES = 8 + TABLE_PAGE_SECTORS * 8;
const FLAG_EXPECT_ZERO = 1;
const FLAG_FLUSHED = 2;
const MODEL_FILE_MODE = 0o600;
const WRITE_BYTES = 1024 * 1024;

/** What a model file holds besides the model: whatever its writer wants back. */
export type ModelNotes = Readonly<Record<string, unknown>>;

export interface LoadedModel {
  readonly model: DiskModel;
  readonly notes: ModelNotes;
}

/**
 * Replaces the file in one step. Nothing may be in flight; what no flush covers counts as safe.
 * @throws TapdiskError MODEL_WRITE_FAILED
 */
export async function saveModel(path: string, model: DiskModel, notes: ModelNotes): Promise<void> {
  assert(!model.busy, 'a model is saved when nothing is in flight');
  const temporary = `${path}.new`;
  try {
    const handle = await open(temporary, 'w', MODEL_FILE_MODE);
    try {
      await writeModel(new CheckedWriter(handle), model, notes);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw new TapdiskError(
      'MODEL_WRITE_FAILED',
      `cannot write the disk model ${path}: ${sentenceOf(error)}; see that its directory exists, is writable and has room`,
      { cause: error },
    );
  }
}

/**
 * The model and notes of a file, or null where there is no such file.
 * @throws TapdiskError MODEL_CORRUPT, MODEL_VERSION_UNKNOWN, MODEL_READ_FAILED
 */
export async function loadModel(path: string, hash: PayloadHash): Promise<LoadedModel | null> {
  let handle: FileHandle;
  try {
    handle = await open(path, 'r');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null;
    throw readFailed(path, error);
  }
  try {
    return await readModel(new CheckedReader(handle, path), path, hash);
  } catch (error) {
    throw error instanceof TapdiskError ? error : readFailed(path, error);
  } finally {
    await handle.close();
  }
}

async function writeModel(file: CheckedWriter, model: DiskModel, notes: ModelNotes): Promise<void> {
  const { current, options } = model;
  const noteBytes = Buffer.from(JSON.stringify(notes));
  assert(noteBytes.length <= MODEL_NOTES_BYTES_MAX, 'notes are short');
  const header = Buffer.alloc(HEADER_BYTES);
  MAGIC.copy(header, 0);
  header.writeUInt32LE(VERSION, 8);
  header.writeUInt32LE(
    (options.expectZero ? FLAG_EXPECT_ZERO : 0) |
      (options.survives === 'flushed' ? FLAG_FLUSHED : 0),
    12,
  );
  header.writeUInt32LE(options.seed, 16);
  header.writeUInt32LE(noteBytes.length, 20);
  header.writeDoubleLE(options.sectors, 24);
  header.writeDoubleLE(model.nextSequence, 32);
  header.writeDoubleLE(current.table.pageCount, 40);
  header.writeDoubleLE(current.sets.size, 48);
  await file.write(header);
  await file.write(noteBytes);
  const pages: { first: number; values: Float64Array }[] = [];
  current.table.forEachPage((first, values) => pages.push({ first, values }));
  for (const { first, values } of pages) {
    const page = Buffer.alloc(PAGE_RECORD_BYTES);
    page.writeDoubleLE(first, 0);
    for (let n = 0; n < TABLE_PAGE_SECTORS; n++) page.writeDoubleLE(values[n], 8 + n * 8);
    await file.write(page);
  }
  for (const [sector, values] of current.sets) {
    const set = Buffer.alloc(16 + values.length * 8);
    set.writeDoubleLE(sector, 0);
    set.writeDoubleLE(values.length, 8);
    values.forEach((value, n) => set.writeDoubleLE(value, 16 + n * 8));
    await file.write(set);
  }
  await file.end();
}

async function readModel(
  file: CheckedReader,
  path: string,
  hash: PayloadHash,
): Promise<LoadedModel> {
  const header = await file.read(HEADER_BYTES);
  if (!header.subarray(0, 8).equals(MAGIC)) throw file.corrupt('it is not a disk model');
  const version = header.readUInt32LE(8);
  if (version !== VERSION) {
    throw new TapdiskError(
      'MODEL_VERSION_UNKNOWN',
      `the disk model ${path} has format version ${version}, and this program knows version ${VERSION} only: begin a new one`,
    );
  }
  const flags = header.readUInt32LE(12);
  const noteBytes = header.readUInt32LE(20);
  const sectors = file.number(header, 24, Number.MAX_SAFE_INTEGER);
  const model = new DiskModel({
    sectors,
    seed: header.readUInt32LE(16),
    expectZero: (flags & FLAG_EXPECT_ZERO) !== 0,
    survives: (flags & FLAG_FLUSHED) !== 0 ? 'flushed' : 'acknowledged',
    hash,
  });
  model.nextSequence = file.number(header, 32, Number.MAX_SAFE_INTEGER);
  const pages = file.number(header, 40, MODEL_PAGES_MAX);
  const sets = file.number(header, 48, MODEL_SETS_MAX);
  if (noteBytes > MODEL_NOTES_BYTES_MAX) throw file.corrupt('its notes are too long');
  const notes = (await file.read(noteBytes)).toString();
  for (let n = 0; n < pages; n++) await readPage(file, model);
  for (let n = 0; n < sets; n++) await readSet(file, model);
  await file.end();
  return { model, notes: JSON.parse(notes) as ModelNotes };
}

async function readPage(file: CheckedReader, model: DiskModel): Promise<void> {
  const page = await file.read(PAGE_RECORD_BYTES);
  const first = file.number(page, 0, Number.MAX_SAFE_INTEGER);
  for (let n = 0; n < TABLE_PAGE_SECTORS; n++) {
    const value = page.readDoubleLE(8 + n * 8);
    if (value !== 0) model.current.table.set(first + n, value);
  }
}

async function readSet(file: CheckedReader, model: DiskModel): Promise<void> {
  const head = await file.read(16);
  const sector = file.number(head, 0, Number.MAX_SAFE_INTEGER);
  const count = file.number(head, 8, MODEL_ALTERNATIVES_MAX);
  const bytes = await file.read(count * 8);
  if (model.current.get(sector) !== VALUE_SET) throw file.corrupt('a set stands alone');
  model.current.sets.set(
    sector,
    Array.from({ length: count }, (_, n) => bytes.readDoubleLE(n * 8)),
  );
}

/** Collects small writes, and ends with the CRC32 of all that was written. */
class CheckedWriter {
  private parts: Buffer[] = [];
  private pendingBytes = 0;
  private crc = 0;

  constructor(private readonly handle: FileHandle) {}

  async write(bytes: Buffer): Promise<void> {
    this.crc = crc32(bytes, this.crc);
    await this.append(bytes);
  }

  async end(): Promise<void> {
    const trailer = Buffer.alloc(4);
    trailer.writeUInt32LE(this.crc);
    await this.append(trailer);
    await this.flush();
  }

  private async append(bytes: Buffer): Promise<void> {
    this.parts.push(bytes);
    this.pendingBytes += bytes.length;
    if (this.pendingBytes >= WRITE_BYTES) await this.flush();
  }

  private async flush(): Promise<void> {
    await this.handle.writeFile(Buffer.concat(this.parts));
    this.parts = [];
    this.pendingBytes = 0;
  }
}

/** Reads on and on, and checks the CRC32 at the end. */
class CheckedReader {
  private buffer = Buffer.alloc(0);
  private crc = 0;

  constructor(
    private readonly handle: FileHandle,
    private readonly path: string,
  ) {}

  async read(lengthBytes: number): Promise<Buffer> {
    const bytes = await this.take(lengthBytes);
    this.crc = crc32(bytes, this.crc);
    return bytes;
  }

  async end(): Promise<void> {
    const { crc } = this;
    const trailer = await this.take(4);
    if (trailer.readUInt32LE(0) !== crc) throw this.corrupt('its checksum does not match');
    const beyond = await this.handle.read(Buffer.alloc(1), 0, 1, null);
    if (beyond.bytesRead > 0 || this.buffer.length > 0) {
      throw this.corrupt('it goes on after its end');
    }
  }

  /** A whole number of the file that says how much is to follow. */
  number(bytes: Buffer, at: number, max: number): number {
    const value = bytes.readDoubleLE(at);
    if (!Number.isSafeInteger(value) || value < 0 || value > max) {
      throw this.corrupt('a number in it is impossible');
    }
    return value;
  }

  corrupt(what: string): TapdiskError {
    return new TapdiskError(
      'MODEL_CORRUPT',
      `the disk model ${this.path} is corrupt: ${what}; remove it and begin a new one`,
    );
  }

  private async take(lengthBytes: number): Promise<Buffer> {
    while (this.buffer.length < lengthBytes) {
      const more = Buffer.allocUnsafe(Math.max(WRITE_BYTES, lengthBytes));
      const { bytesRead } = await this.handle.read(more, 0, more.length, null);
      if (bytesRead === 0) throw this.corrupt('it is cut off');
      this.buffer = Buffer.concat([this.buffer, more.subarray(0, bytesRead)]);
    }
    const taken = this.buffer.subarray(0, lengthBytes);
    this.buffer = this.buffer.subarray(lengthBytes);
    return taken;
  }
}

function readFailed(path: string, error: unknown): TapdiskError {
  return new TapdiskError(
    'MODEL_READ_FAILED',
    `cannot read the disk model ${path}: ${sentenceOf(error)}`,
    { cause: error },
  );
}
