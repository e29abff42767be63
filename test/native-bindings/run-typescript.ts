/** Runs a script in a process of its own that can require the project's TypeScript as it is. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const ROOT = join(__dirname, '../..');

/** Loaded before the script: compiles each .ts file as it is required. */
const LOADER = `
  require.extensions['.ts'] = (module, path) => {
    const options = { swcrc: false, jsc: { parser: { syntax: 'typescript' }, target: 'es2022' },
      module: { type: 'commonjs' } };
    module._compile(require('@swc/core').transformFileSync(path, options).code, path);
  };
`;

export interface ScriptEnd {
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly out: string;
  readonly err: string;
}

/** The script's end; one that does not end is killed, and `signal` says so. */
export function runTypescript(
  script: string,
  setting: { env?: Record<string, string>; nodeArguments?: string[]; arguments?: string[] } = {},
): ScriptEnd {
  const child = spawnSync(
    process.execPath,
    [...(setting.nodeArguments ?? []), '-e', LOADER + script, '--', ...(setting.arguments ?? [])],
    {
      cwd: ROOT,
      env: { ...process.env, ...setting.env },
      encoding: 'utf8',
      timeout: SCRIPT_MS_MAX,
      killSignal: 'SIGKILL',
    },
  );
  return { exitCode: child.status, signal: child.signal, out: child.stdout, err: child.stderr };
}

const SCRIPT_MS_MAX = 20_000;
