/** Builds something again only where what it is made of has changed. */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/** A hash of texts and of files' (or whole directories') contents. */
export function keyOf(parts: { texts?: readonly string[]; files?: readonly string[] }): string {
  const hash = createHash('sha256');
  for (const text of parts.texts ?? []) hash.update(text).update('\0');
  for (const file of parts.files ?? []) {
    for (const one of filesBelow(file)) hash.update(one).update('\0').update(readFileSync(one));
  }
  return hash.digest('hex');
}

function filesBelow(file: string): string[] {
  if (!statSync(file).isDirectory()) return [file];
  const names = readdirSync(file).sort();
  return names.flatMap((name) => filesBelow(path.join(file, name)));
}

/** Calls `build` unless `target` was built with the same key before. @returns whether it did */
export function whenChanged(target: string, key: string, build: () => void): boolean {
  const stamp = `${target}.key`;
  if (existsSync(target) && existsSync(stamp) && readFileSync(stamp, 'utf8') === key) return false;
  rmSync(stamp, { force: true });
  const startedMs = performance.now();
  build();
  writeFileSync(stamp, key);
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
  process.stdout.write(`built ${path.basename(target)} in ${seconds} s\n`);
  return true;
}
