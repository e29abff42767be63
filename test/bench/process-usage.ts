/** CPU time and memory of another process, from /proc (proc(5)). */
import { readFileSync } from 'node:fs';

/** sysconf(_SC_CLK_TCK) on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;
const PAGE_BYTES = 4096;
/** Fields of /proc/PID/stat counted from after the command's closing parenthesis. */
const USER_FIELD = 11;
const SYSTEM_FIELD = 12;
const RESIDENT_FIELD = 21;

export interface ProcessUsage {
  readonly userUs: number;
  readonly systemUs: number;
  readonly residentBytes: number;
}

/** Resolution: 10 ms of CPU time. */
export function processUsage(pid: number): ProcessUsage {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const us = (field: number): number => (Number(fields[field]) * 1e6) / TICKS_PER_SECOND;
  return {
    userUs: us(USER_FIELD),
    systemUs: us(SYSTEM_FIELD),
    residentBytes: Number(fields[RESIDENT_FIELD]) * PAGE_BYTES,
  };
}

/** The process's share of memory, where pages that several map are divided among them. */
export function proportionalBytes(pid: number): number {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  return Number(/^Pss:\s+(\d+) kB/m.exec(rollup)?.[1] ?? 0) * 1024;
}

/** What a process used while something ran. */
export async function measureUsage<T>(
  pid: number,
  run: () => Promise<T>,
): Promise<{ result: T; userUs: number; systemUs: number; residentBytes: number }> {
  const before = processUsage(pid);
  const result = await run();
  const after = processUsage(pid);
  return {
    result,
    userUs: after.userUs - before.userUs,
    systemUs: after.systemUs - before.systemUs,
    residentBytes: after.residentBytes,
  };
}
