/** A directory that is gone when the process ends. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export function temporaryDirectory(): string {
  const path = mkdtempSync(join(tmpdir(), 'tapdisk-ts-etcd-'));
  process.once('exit', () => rmSync(path, { recursive: true, force: true }));
  return path;
}
