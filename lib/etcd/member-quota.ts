/** How large a member lets its database become, which only its metrics tell. */
import { get as getHttp } from 'node:http';
import { get as getHttps } from 'node:https';
import type { SecureContextOptions, ConnectionOptions } from 'node:tls';
import { METRICS_BYTES_MAX } from './limits';

/** What TLS needs to trust a member, and to be trusted. */
export type MetricsTls = SecureContextOptions &
  Pick<ConnectionOptions, 'servername' | 'checkServerIdentity'>;

/** Set by etcd's server/etcdserver/metrics.go, from --quota-backend-bytes or its default. */
const QUOTA = /^etcd_server_quota_backend_bytes (\S+)$/m;

/**
 * Asks `endpoint`/metrics. Resolves to null where that does not say: metrics may be served
 * elsewhere (--listen-metrics-urls), or not to us.
 */
export function quotaBytes(
  endpoint: string,
  tls: MetricsTls,
  deadlineMs: number,
): Promise<number | null> {
  return new Promise((resolve) => {
    const get = endpoint.startsWith('https:') ? getHttps : getHttp;
    const request = get(`${endpoint}/metrics`, { ...tls, agent: false }, (reply) => {
      let text = '';
      reply.setEncoding('utf8');
      reply.on('data', (part: string) => {
        text += part;
        if (text.length > METRICS_BYTES_MAX) request.destroy();
      });
      reply.on('end', () => resolve(quotaIn(text)));
      reply.on('error', () => resolve(null));
    });
    const timer = setTimeout(() => request.destroy(), deadlineMs);
    request.on('error', () => resolve(null));
    request.on('close', () => {
      clearTimeout(timer);
      resolve(null);
    });
  });
}

function quotaIn(metrics: string): number | null {
  const bytes = Number(QUOTA.exec(metrics)?.[1]);
  return Number.isSafeInteger(bytes) && bytes > 0 ? bytes : null;
}
