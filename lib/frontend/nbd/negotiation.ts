/**
 * The server's side of the fixed newstyle negotiation: bytes in, bytes out, no socket.
 *
 * Whatever an honest client may ask wrongly is answered by an error of the protocol; what breaks
 * the protocol's framing ends the connection.
 */
import { TapdiskError } from '../../errors';
import { findExport, type NbdExport } from './export';
import { OPTION_BYTES_MAX } from './limits';
import {
  type MetaContextQuery,
  parseInfoQuery,
  parseMetaContextQuery,
  parseName,
} from './option-data';
import {
  exportNameReply,
  greeting,
  infoData,
  metaContextData,
  optionReply,
  serverData,
} from './option-replies';
import {
  BASE_ALLOCATION,
  BASE_ALLOCATION_ID,
  CLIENT_FLAGS_BYTES,
  FLAG_FIXED_NEWSTYLE,
  FLAG_NO_ZEROES,
  INFO_EXPORT,
  OPT_ABORT,
  OPT_EXPORT_NAME,
  OPT_GO,
  OPT_INFO,
  OPT_LIST,
  OPT_LIST_META_CONTEXT,
  OPT_SET_META_CONTEXT,
  OPT_STARTTLS,
  OPT_STRUCTURED_REPLY,
  OPTION_HEADER_BYTES,
  OPTION_MAGIC,
  REP_ACK,
  REP_ERR_INVALID,
  REP_ERR_POLICY,
  REP_ERR_TLS_REQD,
  REP_ERR_TOO_BIG,
  REP_ERR_UNKNOWN,
  REP_ERR_UNSUP,
  REP_INFO,
  REP_META_CONTEXT,
  REP_SERVER,
} from './protocol';

/** What a client and this server agreed on. */
export interface Agreement {
  readonly export: NbdExport;
  readonly structured: boolean;
  /** base:allocation may be asked for. */
  readonly blockStatus: boolean;
  /** What the client sent already for the transmission phase. */
  readonly rest: Buffer;
}

/** How the negotiation stands after some bytes. */
export type NegotiationState = 'going-on' | 'start-tls' | 'aborted' | Agreement;

export interface NegotiationOptions {
  readonly exports: readonly NbdExport[];
  /** `none`: not offered. `required`: nothing but TLS will do. `begun`: this is inside TLS. */
  readonly tls: 'none' | 'required' | 'begun';
  readonly send: (message: Buffer) => void;
}

const NOTHING = Buffer.alloc(0);
/** Characters of a name that are said back in a refusal. */
const NAME_SHOWN_MAX = 256;

export class Negotiation {
  private pending: Buffer = NOTHING;
  /** Null until they have come; inside TLS they came before. */
  private clientFlags: number | null = null;
  private structured = false;
  /** Name of the export for which base:allocation was selected. */
  private contextExport: string | null = null;

  constructor(private readonly options: NegotiationOptions) {}

  /** Sends the greeting. */
  begin(): void {
    this.options.send(greeting());
  }

  /** The negotiation within TLS: it begins anew, but for greeting and flags. */
  withinTls(): Negotiation {
    const inner = new Negotiation({ ...this.options, tls: 'begun' });
    inner.clientFlags = this.clientFlags;
    return inner;
  }

  /** In the middle of an option, or before the client's flags. */
  get isOwed(): boolean {
    return this.clientFlags === null || this.pending.length > 0;
  }

  /**
   * Takes what came.
   *
   * @throws TapdiskError NBD_PROTOCOL where nothing is left but to close the connection
   */
  receive(bytes: Buffer): NegotiationState {
    this.pending = Buffer.concat([this.pending, bytes]);
    if (this.clientFlags === null && !this.takeClientFlags()) return 'going-on';
    for (;;) {
      const { pending } = this;
      if (pending.length < OPTION_HEADER_BYTES) return 'going-on';
      const option = pending.readUInt32BE(8);
      const length = pending.readUInt32BE(12);
      this.checkOptionHeader(option, length);
      const end = OPTION_HEADER_BYTES + length;
      if (pending.length < end) return 'going-on';
      this.pending = pending.subarray(end);
      const state = this.answer(option, pending.subarray(OPTION_HEADER_BYTES, end));
      if (state !== 'going-on') return state;
    }
  }

  private takeClientFlags(): boolean {
    if (this.pending.length < CLIENT_FLAGS_BYTES) return false;
    const flags = this.pending.readUInt32BE(0);
    if ((flags & ~(FLAG_FIXED_NEWSTYLE | FLAG_NO_ZEROES)) !== 0) {
      throw violation(`its flags are 0x${flags.toString(16)}`);
    }
    this.clientFlags = flags;
    this.pending = this.pending.subarray(CLIENT_FLAGS_BYTES);
    return true;
  }

  private checkOptionHeader(option: number, length: number): void {
    const high = this.pending.readUInt32BE(0);
    const low = this.pending.readUInt32BE(4);
    if (high !== OPTION_MAGIC[0] || low !== OPTION_MAGIC[1]) {
      throw violation(`an option begins with 0x${this.pending.toString('hex', 0, 8)}`);
    }
    if (length > OPTION_BYTES_MAX) {
      this.reply(option, REP_ERR_TOO_BIG);
      throw violation(`option ${option} has ${length} bytes, the limit is ${OPTION_BYTES_MAX}`);
    }
  }

  private answer(option: number, data: Buffer): NegotiationState {
    if (option === OPT_ABORT) {
      this.reply(option, REP_ACK);
      return 'aborted';
    }
    if (option === OPT_STARTTLS) return this.startTls(data);
    if (this.options.tls === 'required') {
      if (option === OPT_EXPORT_NAME) throw violation('it asks for an export without TLS');
      this.reply(option, REP_ERR_TLS_REQD, 'this server demands TLS');
      return 'going-on';
    }
    switch (option) {
      case OPT_EXPORT_NAME:
        return this.exportName(data);
      case OPT_LIST:
        this.list(data);
        break;
      case OPT_INFO:
      case OPT_GO:
        return this.info(option, data);
      case OPT_STRUCTURED_REPLY:
        if (this.isEmpty(option, data)) {
          this.structured = true;
          this.reply(option, REP_ACK);
        }
        break;
      case OPT_LIST_META_CONTEXT:
      case OPT_SET_META_CONTEXT:
        this.metaContext(option, data);
        break;
      default:
        this.reply(option, REP_ERR_UNSUP);
    }
    return 'going-on';
  }

  private startTls(data: Buffer): NegotiationState {
    const { tls } = this.options;
    if (!this.isEmpty(OPT_STARTTLS, data)) return 'going-on';
    if (tls === 'required') {
      // Whoever sits between could have put it there: nothing unencrypted counts from here on.
      if (this.pending.length > 0) throw violation('it sends options after asking for TLS');
      this.reply(OPT_STARTTLS, REP_ACK);
      return 'start-tls';
    }
    if (tls === 'begun') this.reply(OPT_STARTTLS, REP_ERR_INVALID, 'TLS is in use already');
    else this.reply(OPT_STARTTLS, REP_ERR_POLICY, 'this server was started without TLS');
    return 'going-on';
  }

  /** There is no way to answer this option with an error. */
  private exportName(data: Buffer): NegotiationState {
    const name = parseName(data);
    const offered = name === null ? null : findExport(this.options.exports, name);
    if (offered === null) throw violation('it asks for an export that does not exist');
    const zeroes = ((this.clientFlags ?? 0) & FLAG_NO_ZEROES) === 0;
    this.options.send(exportNameReply(offered, this.structured, zeroes));
    return this.agreement(offered);
  }

  private list(data: Buffer): void {
    if (!this.isEmpty(OPT_LIST, data)) return;
    for (const offered of this.options.exports) {
      this.reply(OPT_LIST, REP_SERVER, serverData(offered));
    }
    this.reply(OPT_LIST, REP_ACK);
  }

  private info(option: typeof OPT_INFO | typeof OPT_GO, data: Buffer): NegotiationState {
    const query = parseInfoQuery(data);
    if (query === null) {
      this.reply(option, REP_ERR_INVALID, 'the data of the option is malformed');
      return 'going-on';
    }
    const offered = findExport(this.options.exports, query.exportName);
    if (offered === null) {
      this.reply(option, REP_ERR_UNKNOWN, this.unknownExport(query.exportName));
      return 'going-on';
    }
    for (const type of new Set([INFO_EXPORT, ...query.types])) {
      const answer = infoData(type, offered, this.structured);
      if (answer !== null) this.reply(option, REP_INFO, answer);
    }
    this.reply(option, REP_ACK);
    return option === OPT_GO ? this.agreement(offered) : 'going-on';
  }

  private metaContext(option: number, data: Buffer): void {
    if (option === OPT_SET_META_CONTEXT) this.contextExport = null;
    const query = parseMetaContextQuery(data);
    if (query === null || !this.structured) {
      const why = query === null ? 'the data is malformed' : 'structured replies come first';
      this.reply(option, REP_ERR_INVALID, why);
      return;
    }
    const offered = findExport(this.options.exports, query.exportName);
    if (offered === null) {
      this.reply(option, REP_ERR_UNKNOWN, this.unknownExport(query.exportName));
      return;
    }
    const isSelected = asksForAllocation(query, option === OPT_LIST_META_CONTEXT);
    if (option === OPT_SET_META_CONTEXT && isSelected) this.contextExport = offered.name;
    if (isSelected) {
      const id = option === OPT_SET_META_CONTEXT ? BASE_ALLOCATION_ID : 0;
      this.reply(option, REP_META_CONTEXT, metaContextData(id, BASE_ALLOCATION));
    }
    this.reply(option, REP_ACK);
  }

  private agreement(offered: NbdExport): Agreement {
    const { structured, pending: rest } = this;
    // Contexts that were selected for another export do not count for this one.
    const blockStatus = structured && this.contextExport === offered.name;
    this.pending = NOTHING;
    return { export: offered, structured, blockStatus, rest };
  }

  private isEmpty(option: number, data: Buffer): boolean {
    if (data.length === 0) return true;
    this.reply(option, REP_ERR_INVALID, 'this option takes no data');
    return false;
  }

  private unknownExport(name: string): string {
    if (name !== '') return `there is no export "${name.slice(0, NAME_SHOWN_MAX)}"`;
    return 'there are several exports, none of which is the default';
  }

  private reply(option: number, type: number, data?: Buffer | string): void {
    this.options.send(optionReply(option, type, data));
  }
}

/** A LIST without queries asks for all; "base:" does so for all of that name space. */
function asksForAllocation({ queries }: MetaContextQuery, isList: boolean): boolean {
  if (isList && queries.length === 0) return true;
  return queries.some((query) => query === BASE_ALLOCATION || (isList && query === 'base:'));
}

function violation(what: string): TapdiskError {
  return new TapdiskError('NBD_PROTOCOL', `The client broke the NBD protocol: ${what}.`);
}
