/** What a failed case leaves to read: short, and in one file. */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Guest } from './guest';
import type { Lab } from './lab';
import { FAILURES } from './paths';

const COMMANDS = [
  'xl list',
  'dmesg | tail -30',
  'xl dmesg | tail -20',
  'xenstore-ls -f /local/domain/0/backend | tail -80',
  'tail -n 40 /var/log/tapdisk-ts-daemon.log /run/tapdisk-ts/*.log 2>/dev/null',
  'tail -n 15 /var/log/xen/xl-*.log 2>/dev/null | tail -60',
  'ps -ef | grep -E "[t]apdisk"',
];

/** @returns the file's path */
export async function keepEvidence(
  lab: Lab,
  name: string,
  error: string,
  guests: readonly Guest[],
): Promise<string> {
  const parts = [error];
  const add = async (title: string, look: () => Promise<string>): Promise<void> => {
    const text = await look().catch((reason: unknown) => `not to be had: ${String(reason)}`);
    if (text.trim() !== '') parts.push(`== ${title}\n${text.trim()}`);
  };
  for (const command of COMMANDS) await add(command, async () => (await lab.run(command)).output);
  for (const guest of guests) await add(`console of ${guest.name}`, () => guest.lastOfConsole());
  mkdirSync(FAILURES, { recursive: true });
  const file = path.join(FAILURES, `${name}.log`);
  writeFileSync(file, `${parts.join('\n\n')}\n`);
  return file;
}
