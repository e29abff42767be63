/** Certificate authorities and certificates for a test's cluster, made by openssl. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface KeyPair {
  readonly certFile: string;
  readonly keyFile: string;
}

function openssl(...words: string[]): void {
  execFileSync('openssl', words, { stdio: 'pipe' });
}

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

export class Authority {
  readonly caFile: string;
  private readonly keyFile: string;
  private issued = 0;

  /** @param directory of its own; made */
  constructor(private readonly directory: string) {
    mkdirSync(directory, { recursive: true });
    this.caFile = join(directory, 'ca.pem');
    this.keyFile = join(directory, 'ca-key.pem');
    const files = ['-keyout', this.keyFile, '-out', this.caFile];
    openssl('req', '-x509', ...NEW_KEY, '-subj', '/CN=test authority', '-days', '2', ...files);
  }

  /** For 127.0.0.1 and localhost, on either side; `valid` false: its time is over. */
  issue(name: string, { valid = true } = {}): KeyPair {
    const base = join(this.directory, `${++this.issued}-${name}`);
    const [keyFile, certFile] = [`${base}-key.pem`, `${base}.pem`];
    openssl('req', ...NEW_KEY, '-subj', `/CN=${name}`, '-keyout', keyFile, '-out', `${base}.csr`);
    writeFileSync(
      `${base}.ext`,
      'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n',
    );
    const signer = ['-CA', this.caFile, '-CAkey', this.keyFile, '-CAcreateserial'];
    const days = ['-days', valid ? '2' : '-1', '-extfile', `${base}.ext`];
    openssl('x509', '-req', '-in', `${base}.csr`, ...signer, ...days, '-out', certFile);
    return { certFile, keyFile };
  }
}
