/** One gRPC channel to one member, over etcd3's service clients, without any retrying of its own. */
import { connect } from 'node:net';
import {
  Channel,
  type ChannelCredentials,
  type Client,
  type ClientDuplexStream,
  Metadata,
} from '@grpc/grpc-js';
import { Host } from 'etcd3/lib/connection-pool';
import type { Cancellable } from './attempt';
import { connectFailure } from './call-failure';
import { hostOf, portOf } from './endpoint';
import type { MetricsTls } from './member-quota';
import { OwnedSockets } from './owned-sockets';
import {
  PING_INTERVAL_MS,
  PING_TIMEOUT_MS,
  RECONNECT_PAUSE_MS_MAX,
  RECONNECT_PAUSE_MS_MIN,
  REPLY_BYTES_MAX,
} from './limits';

export type ServiceName = 'KV' | 'Lease' | 'Watch' | 'Maintenance' | 'Auth';

export interface Security {
  readonly credentials: ChannelCredentials;
  /** Asked for when TLS begins; the endpoint's without it. */
  readonly serverName?: string;
  /** The same for what a member tells by plain HTTP; empty without TLS. */
  readonly tls: MetricsTls;
}

export type Stream<Request, Reply> = ClientDuplexStream<Request, Reply>;

type UnaryMethod = (
  request: object,
  metadata: Metadata,
  options: object,
  done: (error: Error | null, reply: unknown) => void,
) => { cancel(): void };
type StreamMethod = (metadata: Metadata) => Stream<object, unknown>;

/** What goes with a call beside its request. */
export interface CallExtras {
  /** Of a cluster whose users log in. */
  readonly token: string | null;
  /** A member without a leader answers at once that it has none, instead of waiting for one. */
  readonly requireLeader: boolean;
}

export class Connection {
  private readonly sockets: OwnedSockets;
  private readonly channel: Channel;
  private readonly host: Host;
  private openCalls = 0;
  private retired = false;
  /** Clock at the last reply. */
  heardAtMs = -Infinity;

  constructor(
    readonly endpoint: string,
    security: Security,
    private readonly nowMs: () => number,
  ) {
    const options = channelOptions(security);
    const { host } = new URL(endpoint);
    const target = host.includes(':') && !host.endsWith(']') ? host : `${host}:${portOf(endpoint)}`;
    this.sockets = new OwnedSockets(security.credentials);
    this.channel = new Channel(target, this.sockets, options);
    this.host = new Host(target, this.sockets, {
      ...options,
      channelOverride: this.channel,
    });
  }

  /** Rejects with gRPC's error. */
  unary<Reply>(
    service: ServiceName,
    method: string,
    request: object,
    extras: CallExtras,
    attempt: Cancellable,
  ): Promise<Reply> {
    return new Promise((resolve, reject) => {
      const client = this.clientOf(service);
      const done = (error: Error | null, reply: unknown): void => {
        this.callEnded();
        if (error !== null) return reject(error);
        this.heardAtMs = this.nowMs();
        resolve(reply as Reply);
      };
      const call = (client[method] as UnaryMethod)(request, metadataOf(extras), {}, done);
      this.openCalls += 1;
      attempt.cancelWith(() => call.cancel());
    });
  }

  /** An open stream; its errors come by its 'error' event, which must be listened to. */
  stream<Request, Reply>(
    service: ServiceName,
    method: string,
    extras: CallExtras,
  ): Stream<Request, Reply> {
    const client = this.clientOf(service);
    const stream = (client[method] as StreamMethod)(metadataOf(extras));
    this.openCalls += 1;
    stream.once('status', () => this.callEnded());
    stream.on('data', () => (this.heardAtMs = this.nowMs()));
    return stream as unknown as Stream<Request, Reply>;
  }

  /** Begins no further call; those that are open may end, then the connection is closed. */
  retire(): void {
    this.retired = true;
    this.closeWhenIdle();
  }

  close(): void {
    this.retired = true;
    this.channel.close();
    this.sockets.close();
  }

  private clientOf(service: ServiceName): Client & Record<string, unknown> {
    return this.host.getServiceClient(service) as Client & Record<string, unknown>;
  }

  private callEnded(): void {
    this.openCalls -= 1;
    this.closeWhenIdle();
  }

  private closeWhenIdle(): void {
    if (this.retired && this.openCalls === 0) this.close();
  }
}

/**
 * Whether a member accepts connections. gRPC leaves the time of its own connecting to TCP, which
 * may be minutes; and a socket that waits so long keeps the process alive.
 */
export async function probe(
  endpoint: string,
  timeoutMs: number,
  attempt: Cancellable,
): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const socket = connect({ host: hostOf(endpoint), port: portOf(endpoint) });
    const fail = (reason: string): void => {
      socket.destroy();
      reject(connectFailure(reason));
    };
    socket.setTimeout(timeoutMs, () => fail(`no connection within ${timeoutMs} ms`));
    socket.once('error', (error) => fail(error.message));
    socket.once('connect', () => {
      socket.destroy();
      resolve();
    });
    attempt.cancelWith(() => fail('given up'));
  });
}

function metadataOf({ token, requireLeader }: CallExtras): Metadata {
  const metadata = new Metadata();
  if (token !== null) metadata.set('token', token);
  if (requireLeader) metadata.set('hasleader', 'true');
  return metadata;
}

function channelOptions({ serverName }: Security): Record<string, string | number> {
  return {
    // Its own pool: a new connection to a member shall not be the old, hung one.
    'grpc.use_local_subchannel_pool': 1,
    'grpc.enable_retries': 0,
    'grpc.enable_channelz': 0,
    'grpc.enable_http_proxy': 0,
    'grpc.service_config_disable_resolution': 1,
    'grpc.initial_reconnect_backoff_ms': RECONNECT_PAUSE_MS_MIN,
    'grpc.max_reconnect_backoff_ms': RECONNECT_PAUSE_MS_MAX,
    'grpc.keepalive_time_ms': PING_INTERVAL_MS,
    'grpc.keepalive_timeout_ms': PING_TIMEOUT_MS,
    'grpc.max_receive_message_length': REPLY_BYTES_MAX,
    'grpc.max_send_message_length': -1,
    ...(serverName === undefined ? {} : { 'grpc.ssl_target_name_override': serverName }),
  };
}
