/** A disk's statistics as people read them: a table of operations, and the rest as names and values. */
import { z } from 'zod/v3';
import type { Column } from '../table';

/** `requests` of a disk's statistics: counters by operation (lib/vbd/statistics.ts). */
const operations = z.record(
  z.string(),
  z.object({
    requests: z.number(),
    sectors: z.number(),
    errors: z.number(),
    latencyUsP50: z.number(),
    latencyUsP99: z.number(),
    latencyUsMax: z.number(),
  }),
);
type Counters = z.infer<typeof operations>[string];

interface OperationRow extends Counters {
  readonly operation: string;
  /** Set between two samples. */
  readonly perSecond: { readonly requests: number; readonly megabytes: number } | null;
}

const SECTOR_BYTES = 512;

export const OPERATION_COLUMNS: readonly Column<OperationRow>[] = [
  { head: 'OPERATION', text: (row) => row.operation },
  number('REQUESTS', (row) => String(row.requests)),
  number('IOPS', (row) => row.perSecond?.requests.toFixed(0) ?? '-'),
  number('MB/S', (row) => row.perSecond?.megabytes.toFixed(1) ?? '-'),
  number('ERRORS', (row) => String(row.errors)),
  number('P50 US', (row) => String(row.latencyUsP50)),
  number('P99 US', (row) => String(row.latencyUsP99)),
  number('MAX US', (row) => String(row.latencyUsMax)),
];

function number(head: string, text: (row: OperationRow) => string): Column<OperationRow> {
  return { head, text, align: 'right' };
}

/** One row an operation; with an earlier sample, `elapsedMs` ago, also what happened since. */
export function operationRows(
  statistics: Readonly<Record<string, unknown>>,
  before: Readonly<Record<string, unknown>> | null,
  elapsedMs: number,
): OperationRow[] {
  const now = operations.safeParse(statistics.requests);
  // A process of another version may count otherwise: then there is nothing to lay out.
  if (!now.success) return [];
  const earlier = operations.safeParse(before?.requests);
  return Object.entries(now.data).map(([operation, counters]) => {
    const then = earlier.success ? earlier.data[operation] : undefined;
    return { operation, ...counters, perSecond: then ? rates(then, counters, elapsedMs) : null };
  });
}

function rates(
  then: Counters,
  now: Counters,
  elapsedMs: number,
): { requests: number; megabytes: number } {
  const seconds = Math.max(elapsedMs, 1) / 1000;
  return {
    requests: (now.requests - then.requests) / seconds,
    megabytes: ((now.sectors - then.sectors) * SECTOR_BYTES) / 1e6 / seconds,
  };
}

/** Nested values as `outer.inner` and text. */
export function flatten(value: object, prefix = ''): [name: string, text: string][] {
  return Object.entries(value).flatMap(([key, inner]: [string, unknown]) => {
    const name = prefix + key;
    if (typeof inner === 'object' && inner !== null) return flatten(inner, `${name}.`);
    return [[name, String(inner)] as [string, string]];
  });
}
