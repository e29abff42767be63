/** Builds the server's messages of the negotiation. */
import { exportBytes, type NbdExport, transmissionFlags } from './export';
import { PAYLOAD_BYTES_MAX } from './limits';
import { PAGE_BYTES } from './page-arena';
import {
  EXPORT_NAME_ZEROES_BYTES,
  FLAG_FIXED_NEWSTYLE,
  FLAG_NO_ZEROES,
  GREETING_BYTES,
  INFO_BLOCK_SIZE,
  INFO_DESCRIPTION,
  INFO_EXPORT,
  INFO_NAME,
  INIT_MAGIC,
  OPTION_MAGIC,
  OPTION_REPLY_HEADER_BYTES,
  OPTION_REPLY_MAGIC,
} from './protocol';
import { SECTOR_BYTES } from '../../sector';

const INFO_TYPE_BYTES = 2;

export function greeting(): Buffer {
  const message = Buffer.alloc(GREETING_BYTES);
  message.writeUInt32BE(INIT_MAGIC[0], 0);
  message.writeUInt32BE(INIT_MAGIC[1], 4);
  message.writeUInt32BE(OPTION_MAGIC[0], 8);
  message.writeUInt32BE(OPTION_MAGIC[1], 12);
  message.writeUInt16BE(FLAG_FIXED_NEWSTYLE | FLAG_NO_ZEROES, 16);
  return message;
}

/** `type` is a REP_*; errors may carry a sentence for a person. */
export function optionReply(option: number, type: number, data: Buffer | string = ''): Buffer {
  const payload = Buffer.from(data);
  const header = Buffer.alloc(OPTION_REPLY_HEADER_BYTES);
  header.writeUInt32BE(OPTION_REPLY_MAGIC[0], 0);
  header.writeUInt32BE(OPTION_REPLY_MAGIC[1], 4);
  header.writeUInt32BE(option, 8);
  header.writeUInt32BE(type, 12);
  header.writeUInt32BE(payload.length, 16);
  return Buffer.concat([header, payload]);
}

/** The answer to EXPORT_NAME, which is no option reply: size, flags, and perhaps zeroes. */
export function exportNameReply(offered: NbdExport, structured: boolean, zeroes: boolean): Buffer {
  const end = zeroes ? EXPORT_NAME_ZEROES_BYTES : 0;
  return Buffer.concat([sizeAndFlags(offered, structured), Buffer.alloc(end)]);
}

/** Data of REP_SERVER. */
export function serverData(offered: NbdExport): Buffer {
  const name = Buffer.from(offered.name);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(name.length);
  return Buffer.concat([length, name, Buffer.from(offered.description)]);
}

/** Data of REP_META_CONTEXT. */
export function metaContextData(id: number, name: string): Buffer {
  const data = Buffer.alloc(4);
  data.writeUInt32BE(id);
  return Buffer.concat([data, Buffer.from(name)]);
}

/** Data of REP_INFO for an INFO_*, or null for one that this server has nothing to say to. */
export function infoData(type: number, offered: NbdExport, structured: boolean): Buffer | null {
  switch (type) {
    case INFO_EXPORT:
      return info(type, sizeAndFlags(offered, structured));
    case INFO_NAME:
      return info(type, Buffer.from(offered.name));
    case INFO_DESCRIPTION:
      return offered.description === '' ? null : info(type, Buffer.from(offered.description));
    case INFO_BLOCK_SIZE:
      return info(type, blockSizes());
    default:
      return null;
  }
}

function info(type: number, data: Buffer): Buffer {
  const head = Buffer.alloc(INFO_TYPE_BYTES);
  head.writeUInt16BE(type);
  return Buffer.concat([head, data]);
}

function sizeAndFlags(offered: NbdExport, structured: boolean): Buffer {
  const data = Buffer.alloc(10);
  data.writeBigUInt64BE(BigInt(exportBytes(offered)));
  data.writeUInt16BE(transmissionFlags(offered, structured), 8);
  return data;
}

/** Least, preferred and greatest bytes of a request. */
function blockSizes(): Buffer {
  const data = Buffer.alloc(12);
  data.writeUInt32BE(SECTOR_BYTES, 0);
  data.writeUInt32BE(PAGE_BYTES, 4);
  data.writeUInt32BE(PAYLOAD_BYTES_MAX, 8);
  return data;
}
