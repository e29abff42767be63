/**
 * `make xen-demo`, for a person to watch: Xen boots, and a guest whose disk is a volume makes a file
 * system, writes, mounts it anew and checks; beside it the disk's live statistics. What its ring
 * carried is saved as a trace, which `tapdisk-ts replay` takes on any machine.
 */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { makeAndFill, remountAndCompare } from './cases/file-system';
import { diskLine, POOL, POOL_DIRECTORY, Site } from './lab/case';
import { startDaemon } from './lab/daemon';
import type { Guest } from './lab/guest';
import { Lab } from './lab/lab';
import { inLab } from './lab/paths';

const TRACE = inLab('guest.trace');
const DOM0_TRACE = '/data/guest.trace';
const SHOW_STATISTICS_MS = 3_000;

const say = (text: string): boolean => process.stdout.write(`${text.trimEnd()}\n`);

/** What a person would type in dom0, shown with what it says. */
async function inDom0(lab: Lab, command: string): Promise<void> {
  say(`dom0# ${command}`);
  say(await lab.dom0(command));
}

async function inGuest(guest: Guest, command: string): Promise<void> {
  say(`guest# ${command}`);
  await guest.sh(command);
}

/** @returns what ends it */
function showStatistics(lab: Lab, volume: string): () => void {
  const timer = setInterval(() => {
    lab.run(`tapdisk-ts stats ${volume} | grep -E '^(OPERATION|read|write|flush|discard) '`).then(
      ({ output }) => say(output.replace(/^/gm, '    ')),
      () => undefined,
    );
  }, SHOW_STATISTICS_MS);
  return () => clearInterval(timer);
}

async function useDisk(guest: Guest): Promise<void> {
  say('guest# mke2fs, mount, 24 files of 1 MiB and 200 small ones');
  await makeAndFill(guest);
  await inGuest(
    guest,
    'for i in $(seq 30); do dd if=/dev/urandom of=/mnt/log bs=5000 count=1 conv=fsync,notrunc oflag=append 2>/dev/null; done',
  );
  await inGuest(guest, 'rm /mnt/log; fstrim /mnt');
  say('guest# umount, drop the cache, mount, sha256sum -c, umount, e2fsck -fn');
  await remountAndCompare(guest);
  say('guest: every checksum is right, and the file system is clean');
  await inGuest(guest, 'blkdiscard -o 67108864 -l 33554432 /dev/xvda');
}

async function demo(lab: Lab): Promise<void> {
  await inDom0(lab, `tapdisk-ts pool create ${POOL} --path ${POOL_DIRECTORY}`);
  await startDaemon(lab);
  const site = new Site(lab, 'demo', say);
  const volume = await site.volume('128M');
  say(`dom0# xl create demo.cfg   # disk = [ '${diskLine(volume, 'xvda')}' ]`);
  const guest = await site.guestOn([volume], {
    beforeBoot: () => inDom0(lab, `tapdisk-ts record ${volume} --output ${DOM0_TRACE}`),
  });
  await inDom0(lab, 'xl list');
  const ended = showStatistics(lab, volume);
  try {
    await useDisk(guest);
  } finally {
    ended();
  }
  await inDom0(lab, `tapdisk-ts record ${volume} --stop`);
  await inDom0(lab, `tapdisk-ts stats ${volume}`);
  writeFileSync(TRACE, Buffer.from(await lab.dom0(`base64 ${DOM0_TRACE}`), 'base64'));
  await guest.shutDown();
  say(
    `tapdisk-ts replay ${path.relative(process.cwd(), TRACE)} gives any disk what this had to do`,
  );
}

async function main(): Promise<void> {
  await (await Lab.running())?.end();
  say('Xen boots in QEMU, then dom0 ...');
  const lab = await Lab.boot();
  try {
    await inDom0(lab, 'xl info | grep -E "^(xen_version|nr_cpus|total_memory)"');
    await demo(lab);
  } finally {
    await lab.end();
  }
}

process.exitCode = 1;

main().then(
  () => process.exit(0),
  (error: unknown) => {
    say(`the demo FAILED: ${error instanceof Error ? error.message : String(error)}`);
    process.exit(1);
  },
);
