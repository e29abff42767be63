/** `tapdisk-ts pool list`: the pools that this host knows. */
import { poolsDirectory } from '../../pool/config-directory';
import { listPoolNames, readPoolConfig, storePathOf } from '../../pool/pool-config';
import { defineCommand } from '../command';
import { EXIT_OK, EXIT_REFUSED, reportFailure } from '../failure';

interface PoolRow {
  readonly name: string;
  readonly store: string;
  readonly coordination: string;
  /** Null of a store that has none. */
  readonly path: string | null;
}

export const command = defineCommand({
  examples: [['tapdisk-ts pool list', 'Name, store and place of every pool']],
  options: (yargs) => yargs,
  async run(_options, { io, output }) {
    const directory = poolsDirectory(io.env);
    const rows: PoolRow[] = [];
    let exitCode = EXIT_OK;
    for (const name of await listPoolNames(directory)) {
      try {
        const config = await readPoolConfig(directory, name);
        const { store, coordination } = config;
        const path = storePathOf(config);
        rows.push({ name, store: store.kind, coordination: coordination.kind, path });
      } catch (error) {
        // One bad file must not hide the other pools.
        reportFailure(error, output.json, io);
        exitCode = EXIT_REFUSED;
      }
    }
    output.table(
      [
        { head: 'NAME', text: (row) => row.name },
        { head: 'STORE', text: (row) => row.store },
        { head: 'COORDINATION', text: (row) => row.coordination },
        { head: 'PATH', text: (row) => row.path ?? '-' },
      ],
      rows,
    );
    return exitCode;
  },
});
