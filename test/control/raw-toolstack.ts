/** blktapctrl's end of the FIFOs as raw bytes: writes what a test gives it, shows what comes back. */
import { constants, openSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { mkfifo } from '../../native-bindings/posix';

const WAIT_MS = 5_000;

export class RawToolstack {
  /** As blktapctrl names them: it reads `tapctrlread0`. */
  readonly readFifo: string;
  readonly writeFifo: string;
  private readonly input: net.Socket;
  private readonly output: net.Socket;
  private readonly reads: Buffer[] = [];
  private wake: () => void = () => undefined;

  constructor(directory: string) {
    this.readFifo = path.join(directory, 'tapctrlread0');
    this.writeFifo = path.join(directory, 'tapctrlwrite0');
    for (const fifo of [this.readFifo, this.writeFifo]) mkfifo(fifo);
    const flags = constants.O_RDWR | constants.O_NONBLOCK;
    this.input = new net.Socket({ fd: openSync(this.readFifo, flags), writable: false });
    this.output = new net.Socket({ fd: openSync(this.writeFifo, flags), readable: false });
    this.input.on('data', (read: Buffer) => {
      this.reads.push(read);
      this.wake();
    });
  }

  /** Hexadecimal, spaces ignored; one write, hence one atomic message on the pipe. */
  write(hex: string): void {
    this.output.write(Buffer.from(hex.replace(/\s+/g, ''), 'hex'));
  }

  /** The next `count` bytes as hexadecimal; fails where they do not come. */
  async read(count: number): Promise<string> {
    const deadline = Date.now() + WAIT_MS;
    for (;;) {
      const all = Buffer.concat(this.reads);
      if (all.length >= count) {
        this.reads.splice(0, this.reads.length, all.subarray(count));
        return all.subarray(0, count).toString('hex');
      }
      const leftMs = deadline - Date.now();
      if (leftMs <= 0) throw new Error(`only ${all.length} of ${count} bytes came`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, leftMs);
        this.wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  /** What has come and was not read. */
  get unread(): string {
    return Buffer.concat(this.reads).toString('hex');
  }

  close(): void {
    this.input.destroy();
    this.output.destroy();
  }
}
