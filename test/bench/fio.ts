/** Runs fio on a file with the same load, for the row beside ours. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { z } from 'zod';
import type { Load, Sample } from './sample';

const run = promisify(execFile);

const side = z.object({
  iops: z.number(),
  bw_bytes: z.number(),
  total_ios: z.number(),
  clat_ns: z.object({ percentile: z.record(z.string(), z.number()).optional() }),
});

const report = z.object({
  jobs: z.tuple([
    z.object({
      read: side,
      write: side,
      usr_cpu: z.number(),
      sys_cpu: z.number(),
      job_runtime: z.number(),
    }),
  ]),
});

const US_PER_MS = 1000;

/** `usr_cpu` and `sys_cpu` are percent of the job's run time (fio's HOWTO). */
export async function runFio(
  load: Load,
  file: string,
  sizeBytes: number,
  durationMs: number,
): Promise<Sample> {
  const rw = (load.pattern === 'random' ? 'rand' : '') + load.operation;
  const { stdout } = await run('fio', [
    '--name=row',
    `--filename=${file}`,
    `--rw=${rw}`,
    `--bs=${load.blockBytes}`,
    `--iodepth=${load.depth}`,
    '--ioengine=io_uring',
    `--direct=${load.direct ? 1 : 0}`,
    `--size=${sizeBytes}`,
    '--time_based',
    `--runtime=${durationMs}ms`,
    '--allow_file_create=0',
    '--fallocate=none',
    '--output-format=json',
  ]);
  const [job] = report.parse(JSON.parse(stdout.slice(stdout.indexOf('{')))).jobs;
  const done = load.operation === 'read' ? job.read : job.write;
  const usOf = (percent: number): number =>
    (percent / 100) * ((job.job_runtime * US_PER_MS) / done.total_ios);
  return {
    iops: done.iops,
    mbPerSecond: done.bw_bytes / 1e6,
    latencyUsP50: (done.clat_ns.percentile?.['50.000000'] ?? 0) / 1000,
    latencyUsP99: (done.clat_ns.percentile?.['99.000000'] ?? 0) / 1000,
    userUs: usOf(job.usr_cpu),
    systemUs: usOf(job.sys_cpu),
    residentBytes: null,
  };
}
