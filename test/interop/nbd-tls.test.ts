/** The NBD server's TLS before GnuTLS, as qemu and libnbd use it; see nbd.test.ts. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { tlsFromCertificates, tlsFromPsk } from '../../lib/frontend/nbd/tls-options';
import { describeWhere } from '../where';
import { MIB, missingPrograms, run, serveVolumes } from './nbd-service';

const missing = missingPrograms('qemu-img', 'nbdinfo', 'nbdcopy', 'openssl');
const absence =
  missing.length === 0 ? null : `no ${missing.join(', ')}; make test-nbd installs them`;
const whereInstalled = describeWhere(absence, 'NBD clients');

jest.setTimeout(60_000);

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'tapdisk-ts-tls-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** Makes `name`-cert.pem and `name`-key.pem below `to`, signed by the authority of `authority`. */
async function certify(to: string, name: 'server' | 'client', authority: string): Promise<void> {
  const [key, request, cert] = ['key', 'request', 'cert'].map((part) =>
    join(to, `${name}-${part}.pem`),
  );
  const extensions = join(to, `${name}.ext`);
  const usage = name === 'server' ? 'serverAuth' : 'clientAuth';
  writeFileSync(
    extensions,
    `subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=${usage}\n`,
  );
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  await run('openssl', 'req', ...curve, '-subj', `/CN=${name}`, '-keyout', key, '-out', request);
  const signer = ['-CA', join(authority, 'ca-cert.pem'), '-CAkey', join(authority, 'ca-key.pem')];
  const serial = ['-CAcreateserial', '-days', '2', '-extfile', extensions];
  await run('openssl', 'x509', '-req', '-in', request, ...signer, ...serial, '-out', cert);
}

/** A directory with a certificate authority, a server's and a client's certificate. */
async function makeCertificates(name: string): Promise<string> {
  const to = join(directory, name);
  mkdirSync(to);
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const [key, cert] = [join(to, 'ca-key.pem'), join(to, 'ca-cert.pem')];
  const subject = ['-subj', `/CN=${name}`, '-days', '2'];
  await run('openssl', 'req', '-x509', ...curve, ...subject, '-keyout', key, '-out', cert);
  await certify(to, 'server', to);
  await certify(to, 'client', to);
  return to;
}

whereInstalled('certificates', () => {
  test('of one authority on both sides let libnbd and qemu in', async () => {
    const certificates = await makeCertificates('authority');
    const service = await serveVolumes({ disk: MIB }, { tls: tlsFromCertificates(certificates) });
    const uri = `nbds+unix:///pool/disk?socket=${service.socket}&tls-certificates=${certificates}&tls-hostname=localhost`;
    expect(await run('nbdinfo', uri)).toMatch(/protocol: newstyle-fixed with TLS/);
    const image = join(directory, 'image');
    writeFileSync(image, Buffer.alloc(MIB, 'tls'));
    await run('nbdcopy', '--flush', image, uri);
    await run(
      'qemu-img',
      'compare',
      '--object',
      `tls-creds-x509,id=tls,endpoint=client,dir=${certificates}`,
      '--image-opts',
      `driver=raw,file.driver=file,file.filename=${image}`,
      `driver=raw,file.driver=nbd,file.export=pool/disk,file.server.type=unix,file.server.path=${service.socket},file.tls-creds=tls,file.tls-hostname=localhost`,
    );
    expect(service.failures).toEqual([]);
    await service.end();
  });

  test('of another authority, or none, keep a client out', async () => {
    const certificates = await makeCertificates('authority');
    const others = await makeCertificates('other');
    const service = await serveVolumes({ disk: MIB }, { tls: tlsFromCertificates(certificates) });
    // The stranger trusts the server, but not the other way round.
    await run('cp', join(certificates, 'ca-cert.pem'), others);
    const uri = `nbds+unix:///pool/disk?socket=${service.socket}&tls-hostname=localhost`;
    await expect(run('nbdinfo', `${uri}&tls-certificates=${others}`)).rejects.toThrow();
    await run('rm', join(others, 'client-cert.pem'), join(others, 'client-key.pem'));
    await expect(run('nbdinfo', `${uri}&tls-certificates=${others}`)).rejects.toThrow();
    await expect(run('nbdinfo', uri.replace('nbds', 'nbd'))).rejects.toThrow();
    expect(service.failures.filter((code) => code === 'NBD_TLS_FAILED')).toHaveLength(2);
    await service.end();
  });
});

whereInstalled('shared keys', () => {
  test('let libnbd and qemu in, and nobody else', async () => {
    const keys = join(directory, 'keys.psk');
    writeFileSync(keys, 'alice:00112233445566778899aabbccddeeff\n');
    const service = await serveVolumes({ disk: MIB }, { tls: tlsFromPsk(keys) });
    const { socket } = service;
    const uri = `nbds+unix://alice@/pool/disk?socket=${socket}&tls-psk-file=`;
    expect(await run('nbdinfo', uri + keys)).toMatch(/protocol: newstyle-fixed with TLS/);
    await run(
      'qemu-io',
      '--object',
      `tls-creds-psk,id=tls,endpoint=client,dir=${directory},username=alice`,
      '--image-opts',
      '-c',
      'write -P 5 0 1M',
      '-c',
      'read -P 5 0 1M',
      `driver=raw,file.driver=nbd,file.export=pool/disk,file.server.type=unix,file.server.path=${socket},file.tls-creds=tls`,
    );
    expect(service.failures).toEqual([]);
    const wrong = join(directory, 'wrong.psk');
    writeFileSync(wrong, 'alice:ffffffffffffffffffffffffffffffff\n');
    await expect(run('nbdinfo', uri + wrong)).rejects.toThrow();
    expect(service.failures).toEqual(['NBD_TLS_FAILED']);
    await service.end();
  });
});
