/**
 * `make xen-demo`, for a person to watch: Xen boots, and a guest whose disk is a volume makes a file
 * system, writes, mounts it anew and checks; beside it the disk's live statistics. What its ring
 * carried is saved as a trace, which `tapdisk-ts replay` takes on any machine.
 */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeAndFill, remountAndCompare } from './cases/file-system';
import { diskLine, POOL, POOL_DIRECTORY, Site } from './lab/case';
import { startDaemon } from './lab/daemon';
import type { Guest } from './lab/guest';
import { Lab } from './lab/lab';
import { inLab } from './lab/paths';

const TRACE = inLab('guest.trace');
const DOM0_TRACE = '/data/guest.trace';
const WATCH_SECONDS = 5;
const WATCHED = '/run/watched-statistics';

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

/** Until `isOver`, what one `stats --watch` in dom0 prints: a start of Node for each look would be dear. */
async function showStatistics(lab: Lab, volume: string, isOver: () => boolean): Promise<void> {
  const watch = `tapdisk-ts stats ${volume} --watch ${WATCH_SECONDS}`;
  await lab.dom0(`setsid ${watch} >${WATCHED} 2>&1 </dev/null & echo $! >${WATCHED}.pid`);
  say(`dom0# ${watch}`);
  for (let shown = 0; !isOver(); await sleep(WATCH_SECONDS * 1000)) {
    const { output } = await lab.run(`tail -c +${shown + 1} ${WATCHED}`);
    if (output !== '') say(output.replace(/^/gm, '    '));
    shown += Buffer.byteLength(output);
  }
  await lab.dom0(`kill $(cat ${WATCHED}.pid)`);
}

async function useDisk(guest: Guest): Promise<void> {
  say('guest# mke2fs, mount, 12 files of 1 MiB and 100 small ones');
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
  let isOver = false;
  const shown = showStatistics(lab, volume, () => isOver);
  shown.catch(() => undefined);
  await useDisk(guest);
  isOver = true;
  await shown;
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
