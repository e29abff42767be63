/** What a start of the command line loads: every command of every script pays for it. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { makePoolRoom } from '../pool/temporary-pool';
import type { CommandRun } from './captured-io';

const LIB = join(__dirname, '../../lib');

let forbidden: readonly string[] = [];

beforeEach(() => jest.resetModules());
afterEach(() => {
  for (const module of forbidden) jest.dontMock(module);
});

function forbid(...modules: readonly string[]): void {
  forbidden = modules;
  for (const module of modules) {
    jest.doMock(module, () => {
      throw new Error(`${module} was loaded`);
    });
  }
}

function freshly(argv: readonly string[], env: Record<string, string> = {}): Promise<CommandRun> {
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- an import would come before the modules are forbidden
  const { runCommand } = require('./captured-io') as typeof import('./captured-io');
  return runCommand(argv, { env });
}

test.each(['--version', '--help'])('%s loads no command', async (option) => {
  const commands = join(LIB, 'cli/commands');
  const files = readdirSync(commands).filter((file) => file !== 'index.ts');
  forbid(...files.map((file) => join(commands, file)), 'zod/v3', 'cli-table3', 'pino');
  expect((await freshly([option])).err).toBe('');
});

test('a volume is made in a pool of one host without what etcd, disks and tables need', async () => {
  const room = makePoolRoom();
  const env = { ...room.env };
  try {
    await freshly(['pool', 'create', 'main', '--path', room.poolPath], env);
    jest.resetModules();
    forbid(
      'pino',
      'cli-table3',
      'cli-progress',
      join(LIB, 'pool/open-etcd-pool.ts'),
      join(LIB, 'pool/open-dir-store.ts'),
      join(LIB, 'tapdisk/served-volume.ts'),
    );
    const { exitCode, err } = await freshly(['create', 'main/disk', '--size', '1M'], env);
    expect({ exitCode, err }).toEqual({ exitCode: 0, err: '' });
  } finally {
    room.dispose();
  }
});
