/** TLS by shared keys; with certificates, see test/interop/nbd.test.ts. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { tlsFromCertificates, tlsFromPsk } from '../../../lib/frontend/nbd/tls-options';
import { temporaryDirectory } from '../temporary-directory';
import { memoryDisk } from './memory-disk';
import { CMD, infoQuery, NbdClient, OPT, optionRequest, REP, requestBytes } from './nbd-client';
import { serve, type TestServer } from './test-server';

const KEY = '00112233445566778899aabbccddeeff';

function pskFile(text = `alice:${KEY}\nbob:ffff\n`): string {
  const path = join(temporaryDirectory(), 'keys.psk');
  writeFileSync(path, text);
  return path;
}

async function tlsServer(options: Parameters<typeof serve>[1] = {}): Promise<TestServer> {
  return serve(await memoryDisk(1 << 24), { tls: tlsFromPsk(pskFile()), ...options });
}

/** Asks for TLS and takes the connection over into it. */
async function secure(client: NbdClient, options: ConnectionOptions = {}): Promise<NbdClient> {
  expect((await client.option(OPT.STARTTLS)).map(({ type }) => type)).toEqual([REP.ACK]);
  client.socket.removeAllListeners('data');
  const socket = await new Promise<TLSSocket>((resolve, reject) => {
    const made: TLSSocket = connectTls({
      socket: client.socket,
      pskCallback: () => ({ psk: Buffer.from(KEY, 'hex'), identity: 'alice' }),
      ciphers: 'PSK',
      checkServerIdentity: () => undefined,
      ...options,
    });
    made.once('secureConnect', () => resolve(made));
    made.once('error', reject);
  });
  return new NbdClient(socket);
}

test.each(['TLSv1.2', 'TLSv1.3'] as const)('%s carries everything', async (version) => {
  const { connect } = await tlsServer();
  const plain = await connect();
  await plain.greet();
  const ciphers = version === 'TLSv1.3' ? 'TLS_AES_128_GCM_SHA256' : 'DHE-PSK-AES128-GCM-SHA256';
  const client = await secure(plain, { minVersion: version, maxVersion: version, ciphers });
  await client.choose({ structured: true, blockStatus: true });
  const data = Buffer.alloc(3 << 20, 'secret');
  expect(await client.writeData(4096, data)).toBe(0);
  expect((await client.readData(4096, data.length)).equals(data)).toBe(true);
  client.send(requestBytes({ command: CMD.DISC }));
  await client.closed;
});

test('nothing but STARTTLS and ABORT is done without it', async () => {
  const { connect, failures } = await tlsServer();
  const client = await connect();
  await client.greet();
  for (const option of [OPT.LIST, OPT.GO, OPT.STRUCTURED_REPLY, 12345]) {
    const [refusal] = await client.option(option, infoQuery('', []));
    expect(refusal.type).toBe(REP.ERR_TLS_REQD);
  }
  client.send(optionRequest(OPT.EXPORT_NAME, Buffer.alloc(0)));
  await client.closed;
  expect(failures).toEqual(['NBD_PROTOCOL']);
});

test('within TLS there is no second STARTTLS, and nothing from before counts', async () => {
  const { connect } = await tlsServer();
  const plain = await connect();
  await plain.greet();
  const client = await secure(plain);
  expect((await client.option(OPT.STARTTLS)).map(({ type }) => type)).toEqual([REP.ERR_INVALID]);
  await client.choose();
  expect((await client.readData(0, 512)).length).toBe(512);
});

test('options that were slipped in behind STARTTLS end the connection', async () => {
  const { connect, failures } = await tlsServer();
  const client = await connect();
  await client.greet();
  const nothing = Buffer.alloc(0);
  client.send(
    Buffer.concat([optionRequest(OPT.STARTTLS, nothing), optionRequest(OPT.LIST, nothing)]),
  );
  await client.closed;
  expect(failures).toEqual(['NBD_PROTOCOL']);
});

test.each([
  ['a wrong key', { psk: Buffer.from('00', 'hex'), identity: 'alice' }],
  ['an unknown user', { psk: Buffer.from(KEY, 'hex'), identity: 'mallory' }],
])('%s is refused', async (_what, credentials) => {
  const { connect, failures } = await tlsServer();
  const plain = await connect();
  await plain.greet();
  await expect(secure(plain, { pskCallback: () => credentials })).rejects.toThrow();
  await plain.closed;
  expect(failures).toEqual(['NBD_TLS_FAILED']);
});

test('a client that does not begin with TLS, or is silent, is hung up on', async () => {
  const { connect, failures } = await tlsServer({ negotiationTimeoutMs: 200 });
  const rude = await connect();
  await rude.greet();
  await rude.option(OPT.STARTTLS);
  rude.send(optionRequest(OPT.LIST, Buffer.alloc(100)));
  await rude.closed;
  const silent = await connect();
  await silent.greet();
  await silent.option(OPT.STARTTLS);
  await silent.closed;
  expect(failures).toEqual(['NBD_TLS_FAILED', 'NBD_NEGOTIATION_TIMEOUT']);
});

test.each([
  ['', 'has no key'],
  ['alice\n', 'Line 1'],
  ['alice:00\nbob:0\n', 'Line 2'],
  ['alice:zz\n', 'Line 1'],
])('the key file %j is refused', (text, why) => {
  expect(() => tlsFromPsk(pskFile(text))).toThrow(
    expect.objectContaining({
      code: 'NBD_PSK_INVALID',
      message: expect.stringContaining(why) as string,
    }) as Error,
  );
});

test('certificates that are missing or none are refused', () => {
  const unusable = expect.objectContaining({ code: 'NBD_TLS_UNUSABLE' }) as Error;
  const directory = temporaryDirectory();
  expect(() => tlsFromCertificates(join(directory, 'nowhere'))).toThrow(unusable);
  expect(() => tlsFromPsk(directory)).toThrow(unusable);
  for (const name of ['server-cert.pem', 'server-key.pem']) {
    writeFileSync(join(directory, name), 'not a certificate');
  }
  expect(() => tlsFromCertificates(directory)).toThrow(unusable);
});
