/** `tapdisk-ts replay`: drives a disk's ring with a trace, and checks every sector that is read. */
import { findRunningDisk } from '../../control/socket-client';
import { TapdiskError } from '../../errors';
import { parseRingLocation } from '../../frontend/blktap/find-device';
import { parseVolumeAddress } from '../../pool/address';
import { REPLAY_ANSWER_TIMEOUT_MS, REPLAY_DEPTH_MAX } from '../../trace/limits';
import type { DiskModel } from '../../trace/disk-model';
import { openTrace } from '../../trace/open-trace';
import { ReadBack } from '../../trace/read-back';
import type { ReplayOptions, ReplayResult } from '../../trace/replay-result';
import { Replayer } from '../../trace/replayer';
import { ShmTarget } from '../../trace/shm-target';
import type { TraceSummary } from '../../trace/trace-source';
import { defineCommand, type CommandContext } from '../command';
import { EXIT_BACK_END_GONE, EXIT_OK, EXIT_REFUSED, UsageError } from '../failure';
import type { CommandIo } from '../io';
import { startProgress } from '../progress';
import { SEED_MAX, wholeNumber } from '../tracing/option-number';
import { keepModel, openModel } from '../tracing/replay-model';
import { reportReplay } from '../tracing/replay-report';
import { makeScratchDisk, type ScratchDisk } from '../tracing/scratch-disk';

/** As a shell reports a process that SIGINT ended. */
const EXIT_INTERRUPTED = 130;
const PROGRESS_INTERVAL_MS = 100;
const SURVIVES = ['flushed', 'acknowledged'] as const;

export const command = defineCommand({
  examples: [
    ['tapdisk-ts replay mixed.trace', 'On a volume that is made for it and removed afterwards'],
    ['tapdisk-ts replay mixed.trace --volume main/disk1', 'As fast as the ring goes'],
    [
      'tapdisk-ts replay mysql.load.gz --device shm:/dev/shm/rings/blktap0 --speed recorded',
      'At the speed at which it was recorded',
    ],
    [
      'tapdisk-ts replay mixed.trace --volume main/disk1 --model disk1.model --resume',
      'Go on where an earlier replay ended or was cut off, and verify what that one wrote',
    ],
  ],
  options: (yargs) =>
    yargs
      .positional('trace', { type: 'string', demandOption: true, describe: 'Trace file' })
      .option('device', { type: 'string', requiresArg: true, describe: 'shm:DIRECTORY of a ring' })
      .option('volume', {
        type: 'string',
        requiresArg: true,
        describe: 'POOL/VOLUME of a running disk',
      })
      .conflicts('device', 'volume')
      .option('depth', {
        type: 'number',
        default: 32,
        requiresArg: true,
        describe: 'Requests in flight',
      })
      .option('speed', {
        type: 'string',
        default: 'full',
        requiresArg: true,
        describe: 'full, recorded, or a factor of the recorded speed',
      })
      .option('skip', {
        type: 'number',
        requiresArg: true,
        describe: 'Leave out the first N requests',
      })
      .option('count', { type: 'number', requiresArg: true, describe: 'Replay N requests at most' })
      .option('loops', { type: 'number', default: 1, requiresArg: true, describe: 'Passes' })
      .option('seed', {
        type: 'number',
        default: 1,
        requiresArg: true,
        describe: 'Part of the data written',
      })
      .option('expect-zero', {
        type: 'boolean',
        default: false,
        describe: 'The volume is fresh: sectors never written must read as zeros',
      })
      .option('model', {
        type: 'string',
        requiresArg: true,
        describe: 'File that keeps what the disk must hold, between replays',
      })
      // Without a default, so that yargs sees whether it was given.
      .option('resume', {
        type: 'boolean',
        implies: 'model',
        describe: 'Go on behind what the model says is done',
      })
      .conflicts('resume', 'skip')
      .option('verify', {
        type: 'boolean',
        default: true,
        describe: 'In the end, read back all that is known; --no-verify leaves it out',
      })
      .option('survives', {
        choices: SURVIVES,
        default: SURVIVES[0],
        requiresArg: true,
        describe: 'Which writes must outlive the serving process',
      })
      .option('timeout', {
        type: 'number',
        default: REPLAY_ANSWER_TIMEOUT_MS / 1000,
        requiresArg: true,
        describe: 'Seconds without any answer until the back end counts as dead',
      })
      .option('reconnect', {
        type: 'number',
        default: 0,
        requiresArg: true,
        describe: 'Seconds to wait for another back end when one has died',
      }),
  async run(options, context) {
    const { output } = context;
    const plan = {
      depth: wholeNumber('depth', options.depth, 1, REPLAY_DEPTH_MAX) as number,
      speed: parseSpeed(options.speed),
      count: wholeNumber('count', options.count, 1) ?? Infinity,
      loops: wholeNumber('loops', options.loops, 1) as number,
      finalFlush: true,
      answerTimeoutMs: milliseconds('timeout', options.timeout),
      reconnectTimeoutMs: milliseconds('reconnect', options.reconnect),
    };
    const skip = wholeNumber('skip', options.skip, 0) ?? 0;
    const seed = wholeNumber('seed', options.seed, 0, SEED_MAX) as number;
    const source = await openTrace(options.trace);
    const summary = await source.summary();
    const scratch = await scratchDisk(options, summary, context);
    const directory = scratch?.ringDirectory ?? (await deviceDirectory(options, context.io));
    let target: ShmTarget | null = null;
    try {
      target = await ShmTarget.open(directory, plan.answerTimeoutMs);
      checkFits(options.trace, summary, target.sectors);
      const { model, position } = await openModel(
        options.model,
        {
          sectors: target.sectors,
          seed,
          expectZero: options['expect-zero'] || scratch !== null,
          survives: options.survives,
        },
        { requests: summary.requests, resume: options.resume === true },
      );
      const first = options.resume ? position : skip;
      const replayer = new Replayer(target, source, model, { ...plan, skip: first });
      const last = Math.min(summary.requests * plan.loops, first + plan.count);
      const result = await runWatched(replayer, 'replaying', last - first, context);
      const readBack =
        options.verify && result.end === 'done'
          ? await readAllBack(target, model, plan, context)
          : null;
      if (options.model !== undefined) await keepModel(options.model, model, summary, result);
      const extra = { trace: options.trace, device: directory, first, seed: model.options.seed };
      reportReplay(output, result, readBack, extra);
      return exitCode(result, readBack, last, options.model, context);
    } finally {
      await target?.close();
      await scratch?.remove();
    }
  },
});

function readAllBack(
  target: ShmTarget,
  model: DiskModel,
  plan: Omit<ReplayOptions, 'skip'>,
  context: CommandContext,
): Promise<ReplayResult> {
  const source = new ReadBack(model);
  const options = { ...plan, speed: 'full', skip: 0, count: Infinity, loops: 1, finalFlush: false };
  const replayer = new Replayer(target, source, model, options as ReplayOptions);
  return runWatched(replayer, 'reading back', source.requests, context);
}

/** Draws the bar, and ends the replay in order at the first Ctrl-C. */
async function runWatched(
  replayer: Replayer,
  label: string,
  total: number,
  context: CommandContext,
): Promise<ReplayResult> {
  const first = replayer.progress().position;
  const progress = startProgress(context, { label, total: Math.max(0, total), unit: 'requests' });
  const timer = setInterval(
    () => progress.update(replayer.progress().position - first),
    PROGRESS_INTERVAL_MS,
  );
  const interrupt = (): void => replayer.stop();
  process.once('SIGINT', interrupt);
  try {
    return await replayer.run();
  } finally {
    process.removeListener('SIGINT', interrupt);
    clearInterval(timer);
    progress.stop();
  }
}

function exitCode(
  result: ReplayResult,
  readBack: ReplayResult | null,
  last: number,
  model: string | undefined,
  { output }: CommandContext,
): number {
  const both = readBack === null ? [result] : [result, readBack];
  const gone = both.find(({ end }) => end === 'back-end-gone');
  if (gone !== undefined) {
    const goOn = model === undefined ? '' : `; --model ${model} --resume goes on from there`;
    output.note(
      `the back end is gone: ${gone.goneReason}; ${result.position} of ${last} requests of the trace were done${goOn}`,
    );
  }
  if (both.some(({ mismatches, total }) => mismatches > 0 || total.errors > 0)) return EXIT_REFUSED;
  if (gone !== undefined) return EXIT_BACK_END_GONE;
  return both.some(({ end }) => end === 'stopped') ? EXIT_INTERRUPTED : EXIT_OK;
}

/** Where neither a ring nor a volume is named, the replay gets a disk of its own. */
async function scratchDisk(
  options: { device?: string | undefined; volume?: string | undefined; model?: string | undefined },
  summary: TraceSummary,
  { io, output }: CommandContext,
): Promise<ScratchDisk | null> {
  if (options.device !== undefined || options.volume !== undefined) return null;
  if (options.model !== undefined) {
    throw new UsageError('--model needs a disk that stays: give --volume or --device with it');
  }
  output.note('replaying on a volume made for this replay; --volume or --device names another');
  return makeScratchDisk(summary.sectorsNeeded, io.env);
}

/** The stand-in device's directory: named, or that of the volume's running disk. */
async function deviceDirectory(
  options: { device?: string | undefined; volume?: string | undefined },
  io: CommandIo,
): Promise<string> {
  let device = options.device ?? '';
  if (options.volume !== undefined) {
    parseVolumeAddress(options.volume);
    const { disk } = await findRunningDisk(options.volume, undefined, io.env);
    if (disk.device === null) {
      throw new TapdiskError(
        'REPLAY_DEVICE_UNSUITABLE',
        `${options.volume} is open, and not connected to a ring yet: replay when it is`,
      );
    }
    device = disk.device;
  }
  const location = parseRingLocation(device);
  if (location.kind === 'shm') return location.path;
  throw new TapdiskError(
    'REPLAY_DEVICE_UNSUITABLE',
    `${device} is not a stand-in ring: the kernel is its front end; attach the volume with --device shm:DIRECTORY`,
  );
}

function checkFits(trace: string, summary: TraceSummary, sectors: number): void {
  if (summary.sectorsNeeded <= sectors) return;
  throw new TapdiskError(
    'REPLAY_DISK_TOO_SMALL',
    `${trace} reaches up to sector ${summary.sectorsNeeded}, and the disk has ${sectors} sectors: replay on a larger volume`,
  );
}

function parseSpeed(text: string): 'full' | number {
  if (text === 'full') return 'full';
  const factor = text === 'recorded' ? 1 : Number(text);
  if (factor > 0 && Number.isFinite(factor)) return factor;
  throw new UsageError('--speed must be full, recorded, or a factor above 0 such as 2.5');
}

function milliseconds(option: string, seconds: number): number {
  if (seconds >= 0 && seconds <= 86_400) return Math.round(seconds * 1000);
  throw new UsageError(`--${option} must be a number of seconds from 0 to 86400`);
}
