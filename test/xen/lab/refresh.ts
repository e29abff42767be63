/** Brings the newest build into a lab that runs already, so that a change needs no boot. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { PROJECT_ROOT } from '../../project-root';
import { keyOf } from '../images/stamp';
import { daemonRuns, killDaemon } from './daemon';
import type { Lab } from './lab';
import { RUN } from './paths';

const INSTALLED = '/usr/local/lib/tapdisk-ts';
const BROUGHT = ['bin', 'dist/lib', 'dist/native-bindings', 'native-bindings/addon/build/Release'];
/** Says what was brought into the lab that runs. */
const KEY_FILE = path.join(RUN, 'refreshed.key');
const ARCHIVE_BYTES_MAX = 256 * 1024 * 1024;
const UNPACK_TIMEOUT_MS = 180_000;

/** Programs that run already go on as they are, except the daemon, which the next case finds anew. */
export async function refresh(lab: Lab): Promise<void> {
  const key = keyOf({ files: BROUGHT.map((name) => path.join(PROJECT_ROOT, name)) });
  if (existsSync(KEY_FILE) && readFileSync(KEY_FILE, 'utf8') === key) return;
  rmSync(KEY_FILE, { force: true });
  await unpack(lab);
  if (await daemonRuns(lab)) await killDaemon(lab);
  writeFileSync(KEY_FILE, key);
}

async function unpack(lab: Lab): Promise<void> {
  const left = ['*.map', '*.d.ts', 'obj.target'].map((pattern) => `--exclude=${pattern}`);
  const words = ['-cz', ...left, '-C', PROJECT_ROOT, ...BROUGHT];
  const { status, stdout, stderr } = spawnSync('tar', words, { maxBuffer: ARCHIVE_BYTES_MAX });
  if (status !== 0) throw new Error(`tar: ${stderr.toString()}`);
  await lab.put('/tmp/refresh.tar.gz', stdout);
  await lab.dom0(`tar -xz -C ${INSTALLED} -f /tmp/refresh.tar.gz && rm /tmp/refresh.tar.gz`, {
    timeoutMs: UNPACK_TIMEOUT_MS,
  });
}
