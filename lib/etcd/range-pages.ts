/** Reads a range of any size, page by page, as of one revision. */
import type { IRangeRequest, IRangeResponse } from 'etcd3';
import type { KeyValue, Range, RangeReply } from './etcd';
import { isReplyTooLarge } from './call-failure';
import { PAGE_BYTES, PAGE_KEYS_FIRST, PAGE_KEYS_MAX } from './limits';
import { revisionOf, safeInteger, type Wire } from './wire';

/** @param ask sends one request to the cluster */
export async function readPages(
  wire: Wire,
  range: Range,
  ask: (request: IRangeRequest) => Promise<IRangeResponse>,
): Promise<RangeReply> {
  const request = wire.rangeRequest(range);
  if (range.countOnly === true || range.rangeEnd === undefined) {
    const reply = await ask(request);
    return wire.rangeReply(reply, revisionOf(reply));
  }
  const wanted = range.limit === undefined || range.limit === 0 ? Infinity : range.limit;
  const keyValues: KeyValue[] = [];
  let pageKeys = PAGE_KEYS_FIRST;
  let first: { revision: number; count: number } | null = null;
  for (;;) {
    const limit = Math.min(pageKeys, wanted - keyValues.length);
    let page: IRangeResponse;
    try {
      page = await ask({ ...request, limit, revision: first?.revision ?? 0 });
    } catch (error) {
      if (!isReplyTooLarge(error) || limit === 1) throw error;
      pageKeys = Math.ceil(limit / 4);
      continue;
    }
    first ??= { revision: revisionOf(page), count: safeInteger(page.count) };
    for (const one of page.kvs) keyValues.push(wire.keyValue(one));
    const last = page.kvs.at(-1);
    if (!page.more || last === undefined || keyValues.length >= wanted) {
      return { ...first, keyValues, more: page.more };
    }
    request.key = Buffer.concat([last.key, Buffer.of(0)]);
    pageKeys = keysOfPage(page);
  }
}

/** As many keys as would have made this page as large as a page is to be. */
function keysOfPage({ kvs }: IRangeResponse): number {
  const bytes = kvs.reduce((sum, { key, value }) => sum + key.length + value.length, 0);
  const keys = Math.floor((PAGE_BYTES * kvs.length) / Math.max(bytes, 1));
  return Math.min(Math.max(keys, 1), PAGE_KEYS_MAX);
}
