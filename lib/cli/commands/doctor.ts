/** `tapdisk-ts doctor`: what this host offers, and what is missing for what. */
import { resolve } from 'node:path';
import { type HostFeature, hostFeatures } from '../../../native-bindings/host-features';
import { checkName } from '../../coordination/name';
import { checkPool } from '../../pool/check-pool';
import { defineCommand } from '../command';
import { EXIT_OK, EXIT_REFUSED } from '../failure';

export const command = defineCommand({
  examples: [
    ['tapdisk-ts doctor', 'Kernel, io_uring, limits, Xen, blktap'],
    ['tapdisk-ts doctor /srv/pool', 'The same, and whether a pool may be there'],
    ['tapdisk-ts doctor --pool main', 'Whether a pool works, end to end'],
  ],
  options: (yargs) =>
    yargs
      .positional('directory', {
        type: 'string',
        describe: 'Directory to look at as the place of a pool; a file is made there and removed',
      })
      .option('pool', {
        type: 'string',
        requiresArg: true,
        conflicts: 'directory',
        describe: 'Pool to try instead; a key and a file are made there and removed',
      }),
  async run({ directory, pool }, { io, output }) {
    if (pool !== undefined) {
      const checks = await checkPool(checkName('pool', pool), { env: io.env });
      output.table(
        [
          { head: 'CHECK', text: (check) => check.name },
          { head: 'RESULT', text: (check) => (check.ok ? 'ok' : 'failed') },
          { head: 'FOUND', text: (check) => check.found },
        ],
        checks,
      );
      return checks.every(({ ok }) => ok) ? EXIT_OK : EXIT_REFUSED;
    }
    const features = hostFeatures(directory === undefined ? undefined : resolve(directory));
    output.table(
      [
        { head: 'FEATURE', text: (feature) => feature.name },
        { head: 'HERE', text: (feature) => (feature.present ? 'yes' : 'no') },
        { head: 'FOUND', text: foundText },
      ],
      features,
    );
    const lacking = features.some((feature) => feature.required && !feature.present);
    return lacking ? EXIT_REFUSED : EXIT_OK;
  },
});

function foundText(feature: HostFeature): string {
  return feature.present ? feature.found : `${feature.found}\n  needed for ${feature.missingFor}`;
}
