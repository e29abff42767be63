/** A directory of a test file's own, gone after its last test. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export function temporaryDirectory(): string {
  const path = mkdtempSync(join(tmpdir(), 'tapdisk-ts-native-'));
  afterAll(() => rmSync(path, { recursive: true, force: true }));
  return path;
}
