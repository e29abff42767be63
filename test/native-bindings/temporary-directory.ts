/** A directory of a test file's own (call it outside of tests), gone after its last test. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export function temporaryDirectory(parent = tmpdir()): string {
  const path = mkdtempSync(join(parent, 'tapdisk-ts-native-'));
  afterAll(() => rmSync(path, { recursive: true, force: true }));
  return path;
}
