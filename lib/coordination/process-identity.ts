/** Which process of which boot: so that another can tell whether it still runs. */
import { readFileSync } from 'node:fs';

export interface ProcessIdentity {
  /** Of the kernel's boot: a pid means nothing after the next. */
  readonly bootId: string;
  readonly pid: number;
  /** In clock ticks since boot (proc(5), field 22 of stat): a pid may be given out again. */
  readonly startTime: string;
}

/** This process. */
export function ownProcess(): ProcessIdentity {
  return { bootId: bootId(), pid: process.pid, startTime: processStat(process.pid)!.startTime };
}

export function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}

export interface ProcessStat {
  /** One letter: R, S, D, Z (ended, and nobody asked how), … */
  readonly state: string;
  readonly startTime: string;
}

/** Null where there is no such process, or it is hidden from this one. */
export function processStat(pid: number): ProcessStat | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The command in parentheses may hold spaces and parentheses; field 3 follows the last one.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return { state: fields[0], startTime: fields[STAT_START_TIME - STAT_STATE] };
  } catch {
    return null;
  }
}

const STAT_STATE = 3;
const STAT_START_TIME = 22;
