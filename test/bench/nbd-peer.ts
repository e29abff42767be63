/** NBD servers on unix sockets: ours, and those that others wrote, on the data of one extent file. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TapdiskUnderTest } from '../e2e/tapdisk-under-test';
import { PROJECT_ROOT } from '../project-root';
import { LineChild } from './child';
import { untilUndone } from './left-behind';
import { BENCH_DIRECTORY, DISK_BYTES, MEMORY_DIRECTORY } from './settings';
import { syncFile } from './served-ring';

const START_DEADLINE_MS = 20_000;
const POLL_MS = 20;
/** More than any client here opens. */
const CONNECTIONS_MAX = '16';

export class NbdPeer {
  private readonly forget: () => void;

  private constructor(
    readonly who: string,
    readonly uri: string,
    private readonly server: LineChild,
    private readonly directory: string,
    private readonly scratchFile: string | null,
  ) {
    this.forget = untilUndone(() => this.removeFiles());
  }

  /** Serves a volume that nobody has attached. */
  static async tapdiskTs(tapdisk: TapdiskUnderTest): Promise<NbdPeer> {
    const directory = socketDirectory();
    const socket = join(directory, 'nbd.sock');
    const server = new LineChild(
      join(PROJECT_ROOT, 'bin/tapdisk-ts'),
      ['serve', 'nbd', tapdisk.path, '--listen', `unix:${socket}`],
      { ...process.env, ...tapdisk.env },
    );
    await server.answer();
    const uri = `nbd+unix:///${tapdisk.path}?socket=${socket}`;
    return new NbdPeer('tapdisk-ts', uri, server, directory, null);
  }

  static async qemuNbd(
    file: string,
    format: 'raw' | 'qcow2',
    aio: 'native' | 'io_uring',
  ): Promise<NbdPeer> {
    const directory = socketDirectory();
    const socket = join(directory, 'nbd.sock');
    const image = format === 'raw' ? file : qcow2Of(file, aio);
    // Without locks: several servers share one file here, of which one at a time has work.
    const options = `driver=${format},file.driver=file,file.locking=off,file.filename=${image}`;
    const server = new LineChild('qemu-nbd', [
      ...['--socket', socket, '--image-opts', options, '--aio', aio, '--cache', 'none'],
      ...['--persistent', '--shared', CONNECTIONS_MAX],
    ]);
    await untilThere(socket, server);
    const scratch = format === 'raw' ? null : image;
    const uri = `nbd+unix:///?socket=${socket}`;
    return new NbdPeer(`qemu-nbd ${format} ${aio}`, uri, server, directory, scratch);
  }

  static async nbdkit(who: string, file: string): Promise<NbdPeer> {
    const directory = socketDirectory();
    const socket = join(directory, 'nbd.sock');
    const server = new LineChild('nbdkit', ['--foreground', '--unix', socket, 'file', file]);
    await untilThere(socket, server);
    return new NbdPeer(who, `nbd+unix:///?socket=${socket}`, server, directory, null);
  }

  get pid(): number {
    return this.server.pid;
  }

  async stop(): Promise<void> {
    await this.server.stop();
    this.removeFiles();
    this.forget();
  }

  private removeFiles(): void {
    rmSync(this.directory, { recursive: true, force: true });
    if (this.scratchFile !== null) rmSync(this.scratchFile, { force: true });
  }
}

function socketDirectory(): string {
  return mkdtempSync(join(MEMORY_DIRECTORY, 'tapdisk-ts-nbd-'));
}

/** The same bytes as qcow2, all of it allocated; the file's end is the disk's, or before it. */
function qcow2Of(file: string, name: string): string {
  const image = join(BENCH_DIRECTORY, `bench-${name}.qcow2`);
  execFileSync('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', file, image]);
  execFileSync('qemu-img', ['resize', '-q', image, String(DISK_BYTES)]);
  syncFile(image);
  return image;
}

async function untilThere(socket: string, server: LineChild): Promise<void> {
  const deadline = performance.now() + START_DEADLINE_MS;
  while (!existsSync(socket)) {
    if (!server.isAlive) await server.answer();
    if (performance.now() > deadline) throw new Error(`nobody listens on ${socket}`);
    await sleep(POLL_MS);
  }
}
