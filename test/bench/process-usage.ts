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
