/** Cuts a byte stream into lines, and refuses one that is too long. */

export class LineReader {
  private parts: Buffer[] = [];
  private bytes = 0;

  constructor(private readonly lineBytesMax: number) {}

  /** Takes bytes; false once an unfinished line is longer than the limit. */
  push(chunk: Buffer): boolean {
    this.parts.push(chunk);
    this.bytes += chunk.length;
    // A chunk may hold many short lines: only without an end in sight is the sum a line's length.
    return this.bytes <= this.lineBytesMax || this.joined().indexOf(NEWLINE) >= 0;
  }

  /** The next whole line without its newline, or null. */
  next(): string | null {
    const all = this.joined();
    const end = all.indexOf(NEWLINE);
    if (end < 0) return null;
    this.parts = [all.subarray(end + 1)];
    this.bytes = all.length - end - 1;
    return all.toString('utf8', 0, end);
  }

  private joined(): Buffer {
    if (this.parts.length !== 1) this.parts = [Buffer.concat(this.parts)];
    return this.parts[0];
  }
}

const NEWLINE = 0x0a;
