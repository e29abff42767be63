/** Where an NBD server listens, as people write it: unix:PATH or tcp:HOST:PORT. */
import { lookup } from 'node:dns/promises';
import { BlockList, isIP } from 'node:net';
import { resolve } from 'node:path';
import { sentenceOf, TapdiskError } from '../../errors';

export type ListenAddress =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number };

const PORT_MAX = 65_535;
/** sun_path without its NUL (unix(7)). */
const PATH_BYTES_MAX = 107;

/** @throws TapdiskError NBD_LISTEN_INVALID */
export function parseListenAddress(text: string): ListenAddress {
  if (text.startsWith('unix:')) {
    const path = text.slice('unix:'.length);
    if (path === '' || path.includes('\0')) throw invalid(text);
    const absolute = resolve(path);
    if (Buffer.byteLength(absolute) > PATH_BYTES_MAX) {
      throw invalid(text, `a socket's path has at most ${PATH_BYTES_MAX} bytes`);
    }
    return { kind: 'unix', path: absolute };
  }
  const match = /^tcp:(?:\[([0-9a-fA-F:.]+)\]|([^[\]:/@\s]+)):([0-9]{1,5})$/.exec(text);
  if (match === null) throw invalid(text);
  const port = Number(match[3]);
  if (port > PORT_MAX) throw invalid(text, `a port is at most ${PORT_MAX}`);
  return { kind: 'tcp', host: match[1] ?? match[2], port };
}

/**
 * The numeric address of a host.
 *
 * @throws TapdiskError NBD_LISTEN_FAILED
 */
export async function resolveHost(host: string): Promise<string> {
  if (isIP(host) !== 0) return host;
  try {
    return (await lookup(host)).address;
  } catch (error) {
    throw new TapdiskError(
      'NBD_LISTEN_FAILED',
      `The host ${host} to listen on is not known (${sentenceOf(error)}); give an address of this machine.`,
      { cause: error },
    );
  }
}

/** Whether nobody but this machine's own processes can connect to an address. */
export function isLoopback(address: string): boolean {
  const version = isIP(address);
  return version !== 0 && LOOPBACK.check(address, version === 6 ? 'ipv6' : 'ipv4');
}

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

/** An NBD URI for clients (proto's doc/uri.md); the empty name is the only export. */
export function exportUri(address: ListenAddress, tls: boolean, exportName: string): string {
  const scheme = tls ? 'nbds' : 'nbd';
  const name = exportName.split('/').map(encodeURIComponent).join('/');
  if (address.kind === 'unix') {
    return `${scheme}+unix:///${name}?socket=${encodeURI(address.path).replace(/[?#&+]/g, encodeURIComponent)}`;
  }
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  return `${scheme}://${host}:${address.port}/${name}`;
}

function invalid(text: string, why?: string): TapdiskError {
  const shown = JSON.stringify(text.slice(0, 300));
  return new TapdiskError(
    'NBD_LISTEN_INVALID',
    `${shown} is nothing to listen on${why === undefined ? '' : `: ${why}`}; ` +
      `write unix:PATH or tcp:HOST:PORT, for example tcp:127.0.0.1:10809`,
  );
}
