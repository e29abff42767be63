/** CLOCK_BOOTTIME: never set back, and goes on while the process is stopped or the machine sleeps. */
import { addon } from './addon';
import { call } from './libc';

/** linux/time.h */
const CLOCK_BOOTTIME = 7;

/**
 * Chooses how to read the clock, once. Through the addon a reading costs a fraction of a
 * microsecond; through ffi-napi ten, on the main thread only.
 *
 * @returns a function that tells the milliseconds since the machine started, with their fraction
 */
export function openBootTime(): () => number {
  const native = addon();
  // The addon lies beside the program and may be an older build, which has no clock.
  return native?.bootTimeMs !== undefined ? native.bootTimeMs : readThroughLibc;
}

function readThroughLibc(): number {
  const timespec = Buffer.alloc(16);
  call('clockGettime', [CLOCK_BOOTTIME, timespec]);
  const seconds = Number(timespec.readBigInt64LE(0));
  return seconds * 1e3 + Number(timespec.readBigInt64LE(8)) / 1e6;
}
