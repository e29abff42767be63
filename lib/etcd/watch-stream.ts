/** One watch of a range of keys, on a stream of its own. */
import type { IWatchRequest, IWatchResponse } from 'etcd3';
import { TapdiskError } from '../errors';
import type { Stream } from './connection';
import type { WatchEvent, Watcher } from './etcd';
import { safeInteger, type Wire } from './wire';

type WatchRequest = IWatchRequest;

export class WatchStream {
  private ended = false;

  private constructor(
    private readonly stream: Stream<WatchRequest, IWatchResponse>,
    private readonly wire: Wire,
    private readonly watcher: Watcher,
    private readonly onFailed: (error: unknown) => Error,
  ) {}

  /**
   * Resolves when the cluster has confirmed the watch; rejects with gRPC's error or a TapdiskError.
   *
   * @param onFailed makes the reason that the watcher hears when the stream fails later
   */
  static open(
    stream: Stream<WatchRequest, IWatchResponse>,
    wire: Wire,
    bounds: { key: Buffer; range_end?: Buffer },
    fromRevision: number,
    watcher: Watcher,
    onFailed: (error: unknown) => Error,
  ): Promise<WatchStream> {
    const watch = new WatchStream(stream, wire, watcher, onFailed);
    return new Promise((resolve, reject) => {
      let confirmed = false;
      const fail = (error: unknown): void => {
        if (confirmed) watch.end(error);
        else reject(error instanceof Error ? error : new Error(String(error)));
      };
      stream.on('error', fail);
      stream.on('end', () => fail(brokenOff('the stream was ended')));
      stream.on('data', (reply: IWatchResponse) => {
        if (reply.canceled) return fail(cancelReason(reply));
        if (reply.created) {
          confirmed = true;
          resolve(watch);
        }
        watch.take(reply, fail);
      });
      stream.write({ create_request: { ...bounds, start_revision: fromRevision } });
    });
  }

  cancel(): void {
    this.ended = true;
    this.stream.cancel();
  }

  private take(reply: IWatchResponse, fail: (error: unknown) => void): void {
    if (this.ended || reply.events.length === 0) return;
    let events: readonly WatchEvent[];
    try {
      events = reply.events.map((event) => ({
        type: event.type === 'Delete' ? 'delete' : 'put',
        keyValue: this.wire.keyValue(event.kv),
      }));
    } catch (error) {
      return fail(error);
    }
    this.watcher.onEvents(events, events[events.length - 1].keyValue.modRevision);
  }

  private end(error: unknown): void {
    if (this.ended) return;
    this.ended = true;
    this.stream.cancel();
    this.watcher.onEnded(this.onFailed(error));
  }
}

function cancelReason(reply: IWatchResponse): Error {
  if (safeInteger(reply.compact_revision) > 0) {
    return new TapdiskError(
      'ETCD_COMPACTED',
      'etcd has forgotten the revision from which keys were to be watched',
    );
  }
  if (/permission denied/.test(reply.cancel_reason)) {
    return new TapdiskError(
      'ETCD_REFUSED',
      "etcd does not permit to watch; grant the user's role read on the pool's prefix",
    );
  }
  return brokenOff(reply.cancel_reason);
}

function brokenOff(reason: string): Error {
  return new TapdiskError('ETCD_UNAVAILABLE', `etcd ended a watch (${reason})`, {
    transient: true,
  });
}
