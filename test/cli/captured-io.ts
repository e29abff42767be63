/** A command line's outside for tests: what it wrote, and answers prepared beforehand. */
import { main } from '../../lib/cli/main';
import type { CommandIo } from '../../lib/cli/io';

export interface CommandRun {
  readonly exitCode: number;
  readonly out: string;
  readonly err: string;
}

export interface CommandSetting {
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Given in turn; with any, the command believes that a person is there. */
  readonly answers?: readonly string[];
}

/** Runs one command line in this process. */
export async function runCommand(
  argv: readonly string[],
  setting: CommandSetting = {},
): Promise<CommandRun> {
  let out = '';
  let err = '';
  const answers = [...(setting.answers ?? [])];
  const io: CommandIo = {
    out: (text) => void (out += text),
    err: (text) => void (err += text),
    async ask(question) {
      err += question;
      const answer = answers.shift();
      if (answer === undefined) throw new Error(`nobody answers: ${question}`);
      return answer;
    },
    isInteractive: setting.answers !== undefined,
    progressStream: null,
    columns: 100,
    env: setting.env ?? {},
  };
  const exitCode = await main(argv, io);
  return { exitCode, out, err };
}
