/** The open extent files of a directory store: found by (layer, extent), closed when too many. */
import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  unlinkSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { assert } from '../../assert';
import { errnoOf } from '../../errors';
import type { IoEngine } from '../../../native-bindings/io-engine';
import { EXTENT_FILES_OPEN_MAX } from '../limits';
import { extentPath, layerDirectory } from './extent-path';

const FILE_MODE = 0o600;
const DIRECTORY_MODE = 0o700;

/** One extent file, open for direct and, where something unaligned came, for buffered I/O. */
export class ExtentFile {
  /** Transfers that use a descriptor of this file now. */
  inFlight = 0;
  /** Written since the last sync began. */
  dirty = false;
  /** errno of a failed sync: what was written before it is in doubt for ever. */
  syncErrno = 0;
  lastUsed = 0;
  private bufferedFd = -1;

  constructor(
    readonly layer: number,
    readonly extent: number,
    readonly path: string,
    /** The descriptor for aligned transfers: O_DIRECT unless the file system refuses it. */
    readonly fd: number,
    readonly isDirect: boolean,
    /** No byte was ever written at or beyond this. */
    public sizeBytes: number,
    private readonly access: number,
    private readonly engine: IoEngine,
  ) {
    engine.registerFile(fd);
  }

  /** A descriptor through the page cache, for what is not aligned to the device's block. */
  buffered(): number {
    if (!this.isDirect) return this.fd;
    if (this.bufferedFd < 0) {
      this.bufferedFd = openSync(this.path, this.access);
      this.engine.registerFile(this.bufferedFd);
    }
    return this.bufferedFd;
  }

  close(): void {
    assert(this.inFlight === 0, 'an extent file is closed only when idle');
    this.closeDescriptor(this.fd);
    if (this.bufferedFd >= 0) this.closeDescriptor(this.bufferedFd);
  }

  private closeDescriptor(fd: number): void {
    this.engine.unregisterFile(fd);
    closeSync(fd);
  }
}

/** Opens, keeps and closes the extent files below one directory. */
export class ExtentFiles {
  private readonly byLayer = new Map<number, (ExtentFile | undefined)[]>();
  /** Layers whose directories this process has made durable. */
  private readonly durableLayers = new Set<number>();
  private openCount = 0;
  private clock = 0;
  /** The file of the last look-up: most transfers follow one to the same file. */
  private last: ExtentFile | null = null;

  constructor(
    private readonly directory: string,
    private readonly direct: boolean,
    private readonly readOnly: boolean,
    private readonly engine: IoEngine,
  ) {}

  /** Number of files open now. */
  get count(): number {
    return this.openCount;
  }

  /** The file, or null where it does not exist and `create` is false. Throws system errors. */
  find(layer: number, extent: number, create: boolean): ExtentFile | null {
    const last = this.last;
    if (last !== null && last.layer === layer && last.extent === extent) return last;
    const file = this.byLayer.get(layer)?.[extent] ?? this.open(layer, extent, create);
    if (file === null) return null;
    file.lastUsed = ++this.clock;
    this.last = file;
    return file;
  }

  /** Every open file. */
  *all(): IterableIterator<ExtentFile> {
    for (const files of this.byLayer.values()) {
      for (const file of files) if (file !== undefined) yield file;
    }
  }

  /** Closes the files of one layer, none of which is in use. */
  closeLayer(layer: number): void {
    for (const file of this.byLayer.get(layer) ?? []) if (file !== undefined) this.drop(file);
    this.byLayer.delete(layer);
  }

  closeAll(): void {
    for (const file of [...this.all()]) this.drop(file);
    this.byLayer.clear();
  }

  private open(layer: number, extent: number, create: boolean): ExtentFile | null {
    const path = extentPath(this.directory, layer, extent);
    const isNew = !existsSync(path);
    if (isNew && !create) return null;
    if (isNew) this.makeLayerDirectory(layer);
    while (this.openCount >= EXTENT_FILES_OPEN_MAX && this.closeIdlest());
    const access = this.readOnly ? constants.O_RDONLY : constants.O_RDWR;
    const flags = access | (isNew ? constants.O_CREAT : 0);
    const { fd, isDirect } = this.openDirect(path, flags);
    if (isNew) this.makeNameDurable(layer, path, fd);
    const { size } = fstatSync(fd);
    const file = new ExtentFile(layer, extent, path, fd, isDirect, size, access, this.engine);
    let files = this.byLayer.get(layer);
    if (files === undefined) this.byLayer.set(layer, (files = []));
    files[extent] = file;
    this.openCount++;
    return file;
  }

  private openDirect(path: string, flags: number): { fd: number; isDirect: boolean } {
    if (this.direct) {
      try {
        return { fd: openSync(path, flags | constants.O_DIRECT, FILE_MODE), isDirect: true };
      } catch (error) {
        if (errnoOf(error) !== 'EINVAL') throw error;
      }
    }
    return { fd: openSync(path, flags, FILE_MODE), isDirect: false };
  }

  private makeLayerDirectory(layer: number): void {
    const path = layerDirectory(this.directory, layer);
    if (this.durableLayers.has(layer) && existsSync(path)) return;
    mkdirSync(path, { recursive: true, mode: DIRECTORY_MODE });
    // Also where it was there: whoever made it may not have come so far.
    syncDirectory(dirname(path));
    syncDirectory(this.directory);
    this.durableLayers.add(layer);
  }

  /** The name must be on disk before any sync of the data in the file means something. */
  private makeNameDurable(layer: number, path: string, fd: number): void {
    try {
      syncDirectory(layerDirectory(this.directory, layer));
    } catch (error) {
      closeSync(fd);
      unlinkSync(path);
      throw error;
    }
  }

  /** Over the limit only where more files than that are in use or dirty at once. */
  private closeIdlest(): boolean {
    if (this.last !== null) this.last.lastUsed = ++this.clock;
    let idlest: ExtentFile | null = null;
    for (const file of this.all()) {
      if (file.inFlight > 0 || file.dirty || file.syncErrno !== 0) continue;
      if (idlest === null || file.lastUsed < idlest.lastUsed) idlest = file;
    }
    if (idlest !== null) this.drop(idlest);
    return idlest !== null;
  }

  private drop(file: ExtentFile): void {
    file.close();
    delete this.byLayer.get(file.layer)?.[file.extent];
    this.openCount--;
    if (this.last === file) this.last = null;
  }
}

function syncDirectory(path: string): void {
  const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
