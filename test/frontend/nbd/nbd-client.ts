/** A client that knows NBD's layouts and nothing else: it can break every rule there is. */
import { connect, type Socket } from 'node:net';
import type { ListenAddress } from '../../../lib/frontend/nbd/listen-address';

export const OPT = {
  EXPORT_NAME: 1,
  ABORT: 2,
  LIST: 3,
  STARTTLS: 5,
  INFO: 6,
  GO: 7,
  STRUCTURED_REPLY: 8,
  LIST_META_CONTEXT: 9,
  SET_META_CONTEXT: 10,
} as const;

export const REP = {
  ACK: 1,
  SERVER: 2,
  INFO: 3,
  META_CONTEXT: 4,
  ERR_UNSUP: 0x80000001,
  ERR_POLICY: 0x80000002,
  ERR_INVALID: 0x80000003,
  ERR_TLS_REQD: 0x80000005,
  ERR_UNKNOWN: 0x80000006,
  ERR_TOO_BIG: 0x80000009,
} as const;

export const CMD = {
  READ: 0,
  WRITE: 1,
  DISC: 2,
  FLUSH: 3,
  TRIM: 4,
  CACHE: 5,
  WRITE_ZEROES: 6,
  BLOCK_STATUS: 7,
} as const;

export const FLAG = { FUA: 1, NO_HOLE: 2, DF: 4, REQ_ONE: 8, FAST_ZERO: 16 } as const;

export interface OptionReply {
  readonly type: number;
  readonly data: Buffer;
}

export interface Request {
  readonly command: number;
  readonly flags?: number;
  readonly offset?: number | bigint;
  readonly length?: number;
  readonly data?: Buffer;
  readonly cookie?: bigint;
}

/** A simple reply, or a structured one of a single chunk. */
export interface Reply {
  readonly cookie: bigint;
  readonly error: number;
  /** Null for a simple reply. */
  readonly chunk: { readonly type: number; readonly flags: number; readonly data: Buffer } | null;
}

export class NbdClient {
  /** Resolves when the connection has ended, however that came. */
  readonly closed: Promise<void>;
  /** Pieces as they came, and their bytes together. */
  private received: Buffer[] = [];
  private receivedBytes = 0;
  private isClosed = false;
  private wake: () => void = () => undefined;

  constructor(readonly socket: Socket) {
    socket.on('data', (bytes: Buffer) => {
      this.received.push(bytes);
      this.receivedBytes += bytes.length;
      this.wake();
    });
    socket.on('error', () => undefined);
    this.closed = new Promise((resolve) => {
      socket.on('close', () => {
        this.isClosed = true;
        this.wake();
        resolve();
      });
    });
  }

  static async connect(address: ListenAddress): Promise<NbdClient> {
    const socket =
      address.kind === 'unix' ? connect(address.path) : connect(address.port, address.host);
    const client = new NbdClient(socket);
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    return client;
  }

  /** Connected, with the export chosen by GO. */
  static async go(
    address: ListenAddress,
    setting: { name?: string; structured?: boolean; blockStatus?: boolean } = {},
  ): Promise<NbdClient> {
    const client = await NbdClient.connect(address);
    await client.greet();
    await client.choose(setting);
    return client;
  }

  async choose(
    setting: { name?: string; structured?: boolean; blockStatus?: boolean } = {},
  ): Promise<void> {
    const { name = '', structured = false, blockStatus = false } = setting;
    if (structured || blockStatus) await this.option(OPT.STRUCTURED_REPLY);
    if (blockStatus) await this.option(OPT.SET_META_CONTEXT, metaQuery(name, ['base:allocation']));
    await this.option(OPT.GO, infoQuery(name, []));
  }

  send(bytes: Buffer): void {
    this.socket.write(bytes);
  }

  /** Exactly so many bytes; rejects where the connection ends before. */
  async read(length: number): Promise<Buffer> {
    while (this.receivedBytes < length) {
      if (this.isClosed) throw new Error(`closed with ${this.receivedBytes} of ${length} bytes`);
      await new Promise<void>((resolve) => (this.wake = resolve));
    }
    const taken: Buffer[] = [];
    for (let left = length; left > 0;) {
      const piece = this.received[0];
      taken.push(piece.subarray(0, left));
      if (piece.length > left) this.received[0] = piece.subarray(left);
      else this.received.shift();
      left -= Math.min(left, piece.length);
    }
    this.receivedBytes -= length;
    return Buffer.concat(taken);
  }

  /** Bytes that have come and were not read. */
  get unread(): number {
    return this.receivedBytes;
  }

  /** Takes the server's greeting and sends flags: fixed newstyle, no zeroes. */
  async greet(flags = 3): Promise<Buffer> {
    const greeting = await this.read(18);
    this.send(u32(flags));
    return greeting;
  }

  /** Sends an option and takes its replies, the last of which is an ACK or an error. */
  async option(option: number, data: Buffer = Buffer.alloc(0)): Promise<OptionReply[]> {
    this.send(optionRequest(option, data));
    const replies: OptionReply[] = [];
    for (;;) {
      const reply = await this.optionReply(option);
      replies.push(reply);
      if (reply.type === REP.ACK || reply.type >= REP.ERR_UNSUP) return replies;
    }
  }

  async optionReply(option: number): Promise<OptionReply> {
    const header = await this.read(20);
    if (header.toString('hex', 0, 8) !== '0003e889045565a9') throw new Error('no option reply');
    if (header.readUInt32BE(8) !== option) throw new Error('a reply to another option');
    return { type: header.readUInt32BE(12), data: await this.read(header.readUInt32BE(16)) };
  }

  /** Sends a request and takes its reply, which must be the next. */
  async request(request: Request): Promise<Reply> {
    const cookie = request.cookie ?? 0x0102030405060708n;
    this.send(requestBytes({ ...request, cookie }));
    const isRead = request.command === CMD.READ;
    const reply = await this.reply(() => (isRead ? (request.length ?? 0) : 0));
    if (reply.cookie !== cookie) throw new Error('a reply to another request');
    return reply;
  }

  /** `dataLength` says how many bytes follow a simple reply without an error. */
  async reply(dataLength: (cookie: bigint) => number = () => 0): Promise<Reply> {
    const magic = (await this.read(4)).readUInt32BE();
    if (magic === 0x67446698) {
      const rest = await this.read(12);
      const error = rest.readUInt32BE(0);
      const cookie = rest.readBigUInt64BE(4);
      const data = error === 0 ? await this.read(dataLength(cookie)) : Buffer.alloc(0);
      return { cookie, error, chunk: data.length === 0 ? null : simple(data) };
    }
    if (magic !== 0x668e33ef) throw new Error(`a reply begins with ${magic.toString(16)}`);
    const rest = await this.read(16);
    const type = rest.readUInt16BE(2);
    const data = await this.read(rest.readUInt32BE(12));
    const error = type === 0x8001 ? data.readUInt32BE(0) : 0;
    return {
      cookie: rest.readBigUInt64BE(4),
      error,
      chunk: { type, flags: rest.readUInt16BE(0), data },
    };
  }

  /** The data of a read, whichever way it came. */
  async readData(offset: number, length: number): Promise<Buffer> {
    const { error, chunk } = await this.request({ command: CMD.READ, offset, length });
    if (error !== 0 || chunk === null) throw new Error(`read failed with ${error}`);
    return chunk.type === SIMPLE_TYPE ? chunk.data : chunk.data.subarray(8);
  }

  async writeData(offset: number, data: Buffer): Promise<number> {
    return (await this.request({ command: CMD.WRITE, offset, data })).error;
  }

  /** The extents of a range: their lengths and states. */
  async extents(offset: number, length: number, flags = 0): Promise<[number, number][]> {
    const { chunk } = await this.request({ command: CMD.BLOCK_STATUS, offset, length, flags });
    if (chunk === null) throw new Error('no extents');
    const extents: [number, number][] = [];
    for (let at = 4; at < chunk.data.length; at += 8) {
      extents.push([chunk.data.readUInt32BE(at), chunk.data.readUInt32BE(at + 4)]);
    }
    return extents;
  }

  destroy(): void {
    this.socket.destroy();
  }
}

/** Marks the data of a simple reply, which has no type. */
export const SIMPLE_TYPE = -1;

function simple(data: Buffer): NonNullable<Reply['chunk']> {
  return { type: SIMPLE_TYPE, flags: 0, data };
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

export function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

export function optionRequest(option: number, data: Buffer, length = data.length): Buffer {
  return Buffer.concat([Buffer.from('IHAVEOPT'), u32(option), u32(length), data]);
}

export function infoQuery(name: string, types: readonly number[]): Buffer {
  const bytes = Buffer.from(name);
  return Buffer.concat([u32(bytes.length), bytes, u16(types.length), ...types.map(u16)]);
}

export function metaQuery(name: string, queries: readonly string[]): Buffer {
  const strings = queries.flatMap((query) => [u32(Buffer.byteLength(query)), Buffer.from(query)]);
  const bytes = Buffer.from(name);
  return Buffer.concat([u32(bytes.length), bytes, u32(queries.length), ...strings]);
}

export function requestBytes(request: Request): Buffer {
  const header = Buffer.alloc(28);
  header.writeUInt32BE(0x25609513, 0);
  header.writeUInt16BE(request.flags ?? 0, 4);
  header.writeUInt16BE(request.command, 6);
  header.writeBigUInt64BE(request.cookie ?? 0n, 8);
  header.writeBigUInt64BE(BigInt(request.offset ?? 0), 16);
  header.writeUInt32BE(request.length ?? request.data?.length ?? 0, 24);
  return Buffer.concat([header, request.data ?? Buffer.alloc(0)]);
}
