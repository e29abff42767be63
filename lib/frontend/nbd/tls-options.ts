/** How clients prove who they are over TLS: certificates in a directory, or keys in a file. */
import { constants } from 'node:crypto';
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { createSecureContext, type TlsOptions } from 'node:tls';
import { errnoOf, sentenceOf, TapdiskError } from '../../errors';
import { TLS_FILE_BYTES_MAX } from './limits';

/** proto.md demands 1.2 and wishes for later ones. */
const VERSION_MIN = 'TLSv1.2';

/** Names that QEMU, libvirt and nbdkit share. */
const CA_FILE = 'ca-cert.pem';
const REVOCATIONS_FILE = 'ca-crl.pem';
const CERTIFICATE_FILE = 'server-cert.pem';
const KEY_FILE = 'server-key.pem';

/** With forward secrecy first; plain PSK last, for clients that know no other. */
const PSK_CIPHERS =
  'TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:' +
  'ECDHE-PSK-CHACHA20-POLY1305:DHE-PSK-AES256-GCM-SHA384:DHE-PSK-AES128-GCM-SHA256:' +
  'PSK-AES256-GCM-SHA384:PSK-AES128-GCM-SHA256';

/**
 * Reads server-cert.pem and server-key.pem. With a ca-cert.pem beside them, a client must show a
 * certificate that it signed; without, any client is served.
 *
 * @throws TapdiskError NBD_TLS_UNUSABLE
 */
export function tlsFromCertificates(directory: string): TlsOptions {
  const cert = read(join(directory, CERTIFICATE_FILE));
  const key = read(join(directory, KEY_FILE));
  const ca = readIfThere(join(directory, CA_FILE));
  const crl = readIfThere(join(directory, REVOCATIONS_FILE));
  const clients =
    ca === null ? {} : { ca, requestCert: true, rejectUnauthorized: true, ...(crl && { crl }) };
  const options: TlsOptions = { minVersion: VERSION_MIN, cert, key, ...clients };
  try {
    createSecureContext(options);
  } catch (error) {
    throw unusable(directory, sentenceOf(error));
  }
  return options;
}

/**
 * Reads a file of `user:key` lines, the key in hexadecimal, as GnuTLS's psktool writes it.
 *
 * @throws TapdiskError NBD_TLS_UNUSABLE, NBD_PSK_INVALID
 */
export function tlsFromPsk(path: string): TlsOptions {
  const keys = parsePsk(path, read(path).toString('utf8'));
  return {
    minVersion: VERSION_MIN,
    ciphers: PSK_CIPHERS,
    // For TLS 1.2's DHE-PSK; the server's own order holds.
    dhparam: 'auto',
    secureOptions: constants.SSL_OP_CIPHER_SERVER_PREFERENCE,
    pskCallback: (_socket, identity) => keys.get(identity) ?? null,
  };
}

function parsePsk(path: string, text: string): ReadonlyMap<string, Buffer> {
  const keys = new Map<string, Buffer>();
  text.split('\n').forEach((line, index) => {
    if (line.trim() === '') return;
    const match = /^([^:]+):((?:[0-9a-fA-F]{2})+)\s*$/.exec(line);
    if (match === null) {
      throw new TapdiskError(
        'NBD_PSK_INVALID',
        `Line ${index + 1} of ${path} is no "user:key in hexadecimal"; make it with psktool -u USER -p FILE`,
      );
    }
    keys.set(match[1], Buffer.from(match[2], 'hex'));
  });
  if (keys.size === 0) {
    throw new TapdiskError(
      'NBD_PSK_INVALID',
      `${path} has no key in it; make one with psktool -u USER -p FILE`,
    );
  }
  return keys;
}

function readIfThere(path: string): Buffer | null {
  try {
    return read(path);
  } catch (error) {
    if (error instanceof TapdiskError && errnoOf(error.cause) === 'ENOENT') return null;
    throw error;
  }
}

function read(path: string): Buffer {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch (error) {
    throw unusable(path, errnoOf(error) ?? sentenceOf(error), error);
  }
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile()) throw unusable(path, 'it is no file');
    if (stat.size > TLS_FILE_BYTES_MAX) throw unusable(path, 'it is too large');
    const bytes = Buffer.alloc(stat.size);
    return bytes.subarray(0, readSync(fd, bytes));
  } finally {
    closeSync(fd);
  }
}

function unusable(path: string, why: string, cause?: unknown): TapdiskError {
  return new TapdiskError(
    'NBD_TLS_UNUSABLE',
    `TLS cannot use ${path} (${why}); a directory needs server-cert.pem and server-key.pem, and ` +
      `ca-cert.pem where clients must have certificates.`,
    { cause },
  );
}
