/** A progress bar on standard error: only where a person looks at it. */
import type { CommandContext } from './command';

export interface Progress {
  update(done: number): void;
  /** Takes the bar away, so that the result stands alone. */
  stop(): void;
}

/** A bar that says "label ███ 43% | 12/30 unit"; without a terminal, or under --json, none. */
export function startProgress(
  { io, output }: CommandContext,
  { label, total, unit }: { label: string; total: number; unit: string },
): Progress {
  const stream = io.progressStream;
  if (stream === null || output.json) return { update() {}, stop() {} };
  const { Presets, SingleBar } = cliProgress();
  const bar = new SingleBar(
    {
      format: `${label} {bar} {percentage}% | {value}/{total} ${unit}`,
      stream,
      clearOnComplete: true,
      hideCursor: null,
    },
    Presets.shades_classic,
  );
  bar.start(total, 0);
  return { update: (done) => bar.update(done), stop: () => bar.stop() };
}

/* eslint-disable @typescript-eslint/no-require-imports -- an import would load it in every command
   that may draw a bar, and most runs have no terminal */
const cliProgress = (): typeof import('cli-progress') =>
  require('cli-progress') as typeof import('cli-progress');
/* eslint-enable @typescript-eslint/no-require-imports */
