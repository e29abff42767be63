/** Picks the engine that this host has: io_uring, else threads, and says why. */
import { TapdiskError } from '../lib/errors';
import { addon, addonAbsence } from './addon';
import type { IoBatchEnd, IoDone, IoEngine, IoEngineKind } from './io-engine';
import { ThreadEngine } from './thread-engine';
import { UringEngine } from './uring-engine';

/**
 * An engine. Environment variable TAPDISK_TS_IO_ENGINE (io_uring or threads) overrides `prefer`;
 * without either it is io_uring. Where that is not to be had it is threads, and `reason` says why.
 */
export function openIoEngine(done: IoDone, batchEnd: IoBatchEnd, prefer?: IoEngineKind): IoEngine {
  const asked = askedByEnvironment() ?? prefer ?? 'io_uring';
  if (asked === 'threads') return new ThreadEngine('threads were asked for', done, batchEnd);
  const native = addon();
  const engine =
    native === null
      ? `the native addon is not there: ${addonAbsence()}`
      : UringEngine.open(native, done, batchEnd);
  return typeof engine === 'string' ? new ThreadEngine(engine, done, batchEnd) : engine;
}

function askedByEnvironment(): IoEngineKind | undefined {
  const name = process.env.TAPDISK_TS_IO_ENGINE ?? '';
  if (name === '') return undefined;
  if (name === 'io_uring' || name === 'threads') return name;
  throw new TapdiskError(
    'IO_ENGINE_UNKNOWN',
    `TAPDISK_TS_IO_ENGINE is '${name}', which is no engine; set it to io_uring or threads`,
  );
}
