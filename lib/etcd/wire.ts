/** This project's calls in etcd's messages (rpc.proto of the v3 API), and back. */
import type {
  ICompare,
  IKeyValue,
  IRangeRequest,
  IRangeResponse,
  IRequestOp,
  IResponseHeader,
  ITxnRequest,
  ITxnResponse,
} from 'etcd3';
import { TapdiskError } from '../errors';
import {
  type Compare,
  type KeyValue,
  type Operation,
  prefixEnd,
  type Range,
  type RangeReply,
  type Transaction,
  type TransactionReply,
} from './etcd';

/** Of etcd's "\0": everything from the key on. */
const END_OF_ALL = '\0';

/** A 64-bit number of etcd's, which arrives in decimal. @throws TapdiskError ETCD_FAILED */
export function safeInteger(decimal: string): number {
  const value = Number(decimal);
  if (Number.isSafeInteger(value)) return value;
  throw new TapdiskError(
    'ETCD_FAILED',
    `etcd gives the number ${decimal.slice(0, 32)}, which is beyond what this program can count to; make a new cluster`,
  );
}

export function revisionOf(reply: { readonly header: IResponseHeader }): number {
  return safeInteger(reply.header.revision);
}

/** Puts the cluster's prefix before every key, and takes it off again. */
export class Wire {
  private readonly prefixBytes: number;

  constructor(private readonly prefix: string) {
    this.prefixBytes = Buffer.byteLength(prefix);
  }

  key(key: string): Buffer {
    return Buffer.from(this.prefix + key);
  }

  bounds(range: { key: string; rangeEnd?: string }): { key: Buffer; range_end?: Buffer } {
    const key = this.key(range.key);
    if (range.rangeEnd === undefined) return { key };
    const end =
      range.rangeEnd === END_OF_ALL ? prefixEnd(this.prefix) : this.prefix + range.rangeEnd;
    return { key, range_end: Buffer.from(end) };
  }

  rangeRequest(range: Range): IRangeRequest {
    return {
      ...this.bounds(range),
      limit: range.limit ?? 0,
      keys_only: range.keysOnly ?? false,
      count_only: range.countOnly ?? false,
      min_mod_revision: range.minModRevision ?? 0,
    };
  }

  transactionRequest({ compare, success, failure = [] }: Transaction): ITxnRequest {
    return {
      compare: compare.map((one) => this.compare(one)),
      success: success.map((one) => this.operation(one)),
      failure: failure.map((one) => this.operation(one)),
    };
  }

  keyValue(from: IKeyValue): KeyValue {
    return {
      key: from.key.toString('utf8', this.prefixBytes),
      value: from.value,
      createRevision: safeInteger(from.create_revision),
      modRevision: safeInteger(from.mod_revision),
      leaseId: from.lease,
    };
  }

  rangeReply(from: IRangeResponse, revision: number): RangeReply {
    return {
      revision,
      keyValues: from.kvs.map((one) => this.keyValue(one)),
      more: from.more,
      count: safeInteger(from.count),
    };
  }

  transactionReply(from: ITxnResponse): TransactionReply {
    const revision = revisionOf(from);
    const ranges = from.responses.flatMap(({ response_range: range }) =>
      // Within a transaction a range's own header has no revision.
      range ? [this.rangeReply(range, revision)] : [],
    );
    return { revision, succeeded: from.succeeded, ranges };
  }

  private compare(one: Compare): ICompare {
    // etcd3's type of a comparison does not know the end of a range; the message does.
    const bounds = this.bounds(one) as { key: Buffer };
    switch (one.target) {
      case 'createRevision':
        return { ...bounds, result: 'Equal', target: 'Create', create_revision: one.equals };
      case 'modRevision':
        return { ...bounds, result: 'Equal', target: 'Mod', mod_revision: one.equals };
      case 'value':
        return { ...bounds, result: 'Equal', target: 'Value', value: one.equals };
    }
  }

  private operation(one: Operation): IRequestOp {
    if ('put' in one) {
      const { key, value, leaseId = '0' } = one.put;
      return { request_put: { key: this.key(key), value, lease: leaseId } };
    }
    if ('delete' in one) return { request_delete_range: this.bounds(one.delete) };
    return { request_range: this.rangeRequest(one.range) };
  }
}
