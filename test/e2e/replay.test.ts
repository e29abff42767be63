/** `tapdisk-ts replay` without a disk: a pool, a volume and a process of its own, gone afterwards. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runCommand } from '../cli/captured-io';

const leftOver = (): string[] =>
  readdirSync(tmpdir()).filter((name) => name.startsWith('tapdisk-ts-replay-'));

describe('a replay without a disk', () => {
  let directory: string;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'tapdisk-ts-'));
  });

  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  it('verifies a mixed trace on a real ring and leaves nothing behind', async () => {
    const before = leftOver();
    const trace = join(directory, 'mixed.trace');
    await runCommand(['trace', 'make', trace, '--size', '64M', '--count', '400']);
    const ended = await runCommand(['replay', trace, '--json'], { env: process.env });
    expect(ended.exitCode).toBe(0);
    expect(JSON.parse(ended.out)).toMatchObject({ mismatches: 0, replay: { end: 'done' } });
    expect(leftOver()).toEqual(before);
  });
});
