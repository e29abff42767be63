/** `tapdisk-ts serve nbd`: exports volumes to NBD clients. */
import { join } from 'node:path';
import { createLog } from '../../control/create-log';
import { ensureRuntimeDirectory } from '../../control/runtime-dir';
import { type ListenAddress, parseListenAddress } from '../../frontend/nbd/listen-address';
import { tlsFromCertificates, tlsFromPsk } from '../../frontend/nbd/tls-options';
import { parseVolumeAddress } from '../../pool/address';
import { serveNbd as serve } from '../../tapdisk/serve-nbd';
import { defineCommand } from '../command';
import { UsageError } from '../failure';

export const command = defineCommand({
  examples: [
    ['tapdisk-ts serve nbd main/disk1', 'On a unix socket of your own, which it prints'],
    ['tapdisk-ts serve nbd main/disk1 --listen tcp:127.0.0.1:10809', 'To programs of this host'],
    [
      'tapdisk-ts serve nbd main/a main/b --listen tcp:0.0.0.0:10809 --tls-certificates /etc/pki',
      'To other hosts, by their certificates',
    ],
    ['tapdisk-ts serve nbd main/disk1 --wait', 'Once another process hands it over, or dies'],
  ],
  options: (yargs) =>
    yargs
      // Elsewhere the last of several counts; here volumes and addresses come together.
      .parserConfiguration({ 'duplicate-arguments-array': true })
      .positional('volume', {
        type: 'string',
        array: true,
        demandOption: true,
        describe: 'POOL/VOLUME, the name of its export',
      })
      .option('listen', {
        type: 'string',
        array: true,
        nargs: 1,
        describe: 'unix:PATH or tcp:HOST:PORT; may be repeated',
      })
      .option('read-only', { type: 'boolean', default: false, describe: 'Refuse writes' })
      .option('wait', {
        type: 'boolean',
        default: false,
        describe: 'Stand by where another has it, and serve it the moment that it is free',
      })
      .option('tls-certificates', {
        type: 'string',
        requiresArg: true,
        coerce: lastOf<string>,
        describe: 'DIRECTORY of server-cert.pem, server-key.pem, ca-cert.pem',
      })
      .option('tls-psk', {
        type: 'string',
        requiresArg: true,
        coerce: lastOf<string>,
        describe: 'FILE of user:key lines, as psktool makes it',
      })
      .option('tls', {
        choices: ['required', 'off'] as const,
        default: 'required' as const,
        requiresArg: true,
        coerce: lastOf<'required' | 'off'>,
        describe: 'off: let other machines connect without TLS',
      })
      .conflicts('tls-certificates', 'tls-psk'),
  async run(options, { io, output }) {
    const { volume: volumes, listen, tlsCertificates, tlsPsk } = options;
    for (const volume of volumes) parseVolumeAddress(volume);
    if (options.wait && options.readOnly) {
      throw new UsageError('--wait is for writing; leave --read-only away');
    }
    const given = listen?.map(parseListenAddress);
    const tls =
      tlsCertificates !== undefined
        ? tlsFromCertificates(tlsCertificates)
        : tlsPsk !== undefined
          ? tlsFromPsk(tlsPsk)
          : null;
    return serve({
      volumes,
      readOnly: options.readOnly,
      wait: options.wait,
      addresses: given ?? [ownSocket(io.env)],
      tls,
      insecure: options.tls === 'off',
      env: io.env,
      log: createLog({ ...io.env }),
      onServing: (uris) =>
        output.result({ pid: process.pid, uris }, uris.map((uri) => `serving ${uri}`).join('\n')),
    });
  },
});

function lastOf<Value>(value: Value | readonly Value[]): Value {
  return Array.isArray(value) ? (value as readonly Value[])[value.length - 1] : (value as Value);
}

function ownSocket(env: Readonly<Record<string, string | undefined>>): ListenAddress {
  return { kind: 'unix', path: join(ensureRuntimeDirectory(env), `nbd-${process.pid}.sock`) };
}
