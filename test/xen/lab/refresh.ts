/** Brings the newest build into a lab that runs already, so that a change needs no boot. */
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { PROJECT_ROOT } from '../../project-root';
import type { Lab } from './lab';

const INSTALLED = '/usr/local/lib/tapdisk-ts';

/** Programs that run already go on as they are. */
export async function refresh(lab: Lab): Promise<void> {
  await unpack(lab, PROJECT_ROOT, ['bin', 'dist/lib', 'dist/native-bindings'], INSTALLED);
  await unpack(
    lab,
    path.join(PROJECT_ROOT, 'native-bindings'),
    ['addon/build/Release'],
    `${INSTALLED}/native-bindings`,
  );
}

async function unpack(lab: Lab, from: string, names: readonly string[], to: string): Promise<void> {
  const words = [
    '-c',
    '--exclude=*.map',
    '--exclude=*.d.ts',
    '--exclude=obj.target',
    '-C',
    from,
    ...names,
  ];
  const { status, stdout, stderr } = spawnSync('tar', words, { maxBuffer: 2 ** 28 });
  if (status !== 0) throw new Error(`tar: ${stderr.toString()}`);
  await lab.put('/tmp/refresh.tar', stdout);
  await lab.dom0(`tar -x -C ${to} -f /tmp/refresh.tar && rm /tmp/refresh.tar`);
}
