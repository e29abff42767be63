/** Runs fio with a load, on a file or on an NBD export. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { z } from 'zod/v3';
import type { Load, Path } from './load';
import { type MemoryLayout, withMemory } from './memory-layout';
import type { Sample } from './sample';
import { DURATION_MS, KIB } from './settings';

const run = promisify(execFile);

const side = z.object({
  iops: z.number(),
  bw_bytes: z.number(),
  total_ios: z.number(),
  lat_ns: z.object({ percentile: z.record(z.string(), z.number()).optional() }),
});

const report = z.object({
  jobs: z.tuple([
    z.object({
      error: z.number(),
      read: side,
      write: side,
      usr_cpu: z.number(),
      sys_cpu: z.number(),
      job_runtime: z.number(),
    }),
  ]),
});

const US_PER_MS = 1000;

/** What fio rounds its buffers up by. */
const PAGE_BYTES = 4 * KIB;

/**
 * On a file, with what the dir store has: io_uring, and its own memory, of the same layout, and file
 * registered.
 *
 * `usr_cpu` and `sys_cpu` are percent of the job's run time (fio's HOWTO).
 */
export async function fioOnFile(
  load: Load,
  path: Path,
  file: string,
  sizeBytes: number,
  layout: MemoryLayout = 'gathered',
): Promise<Sample> {
  const memoryBytes = load.blockBytes * load.depth + PAGE_BYTES;
  const job = await withMemory(layout, memoryBytes, (memory) =>
    runJob(load, [
      `--filename=${file}`,
      '--ioengine=io_uring',
      '--registerfiles',
      '--fixedbufs',
      `--iomem=mmapshared:${memory}`,
      `--direct=${path === 'direct' ? 1 : 0}`,
      `--size=${sizeBytes}`,
      '--allow_file_create=0',
      '--fallocate=none',
      // Warm pages are the point of a hot run.
      '--invalidate=0',
    ]),
  );
  const runUs = job.job_runtime * US_PER_MS;
  return {
    ...sampleOf(load, job),
    userUs: (job.usr_cpu / 100) * runUs,
    systemUs: (job.sys_cpu / 100) * runUs,
  };
}

/** On an NBD export: the client's CPU time is nobody's concern, the server's is its caller's. */
export async function fioOnNbd(load: Load, uri: string, sizeBytes: number): Promise<Sample> {
  const target = ['--ioengine=nbd', `--uri=${uri}`, `--size=${sizeBytes}`];
  return sampleOf(load, await runJob(load, target));
}

type Job = z.infer<typeof report>['jobs'][0];

async function runJob(load: Load, target: readonly string[]): Promise<Job> {
  const { stdout } = await run('fio', [
    '--name=row',
    ...target,
    `--rw=${(load.pattern === 'random' ? 'rand' : '') + load.operation}`,
    `--bs=${load.blockBytes}`,
    `--iodepth=${load.depth}`,
    // The ring's load, too, draws blocks without remembering which it had.
    '--norandommap',
    '--randrepeat=0',
    // From before the submission: a transfer may have ended by the time that returns.
    '--lat_percentiles=1',
    '--thread',
    '--time_based',
    `--runtime=${DURATION_MS}ms`,
    '--output-format=json',
  ]);
  const [job] = report.parse(JSON.parse(stdout.slice(stdout.indexOf('{')))).jobs;
  if (job.error !== 0) throw new Error(`fio ended with error ${job.error}`);
  return job;
}

function sampleOf(load: Load, job: Job): Sample {
  const done = load.operation === 'read' ? job.read : job.write;
  return {
    requests: done.total_ios,
    iops: done.iops,
    mbPerSecond: done.bw_bytes / 1e6,
    latencyUsP50: (done.lat_ns.percentile?.['50.000000'] ?? 0) / 1000,
    latencyUsP99: (done.lat_ns.percentile?.['99.000000'] ?? 0) / 1000,
    userUs: null,
    systemUs: null,
    residentBytes: null,
  };
}
