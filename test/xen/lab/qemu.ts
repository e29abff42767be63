/** The machine that Xen runs on: QEMU without KVM, whose processor has what PV and PVH guests need. */
import { spawn, type ChildProcess } from 'node:child_process';
import {
  closeSync,
  cpSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { PORT_NAME } from '../agent/protocol';
import { BOOT_INITRD, DATA_IMAGE, PROJECT_IMAGE, ROOT_IMAGE, RUN, VMLINUX, XEN } from './paths';

/** MiB: for all of it, and for dom0; guests get the rest. */
const MEMORY_MIB = 4096;
const DOM0_MEMORY_MIB = 2048;

/**
 * npt and nrip-save are what Xen wants for a PVH guest; rdrand, that nobody waits for entropy.
 * With SMAP (QEMU's `max`) dom0 dies of a page fault.
 */
const PROCESSOR = 'qemu64,+npt,+nrip-save,+rdrand';

const XEN_OPTIONS = [
  'console=com1',
  'com1=115200,8n1',
  `dom0_mem=${DOM0_MEMORY_MIB}M,max:${DOM0_MEMORY_MIB}M`,
  'dom0_max_vcpus=2',
  'loglvl=warning',
  'guest_loglvl=warning',
  // What guards real guests from each other only costs time here.
  'spec-ctrl=no',
  'xpti=no',
  'watchdog=0',
];

const KERNEL_OPTIONS = 'console=hvc0 quiet loglevel=4 mitigations=off random.trust_cpu=on';

export const AGENT_SOCKET = path.join(RUN, 'agent.sock');
export const MONITOR_SOCKET = path.join(RUN, 'qmp.sock');
export const CONSOLE_LOG = path.join(RUN, 'console.log');
export const PID_FILE = path.join(RUN, 'qemu.pid');

const DISKS = [
  `file=${ROOT_IMAGE},if=virtio,format=raw,snapshot=on`,
  `file=${PROJECT_IMAGE},if=virtio,format=raw,snapshot=on`,
  // A kill of QEMU loses what dom0's memory held, as a power cut does, and nothing that left it:
  // so this host need not flush its own disk for it.
  `file=${DATA_IMAGE},if=virtio,format=raw,cache=unsafe,aio=threads,discard=unmap`,
];

function words(serial: string, kernelOptions: string): string[] {
  return [
    ...['-accel', 'tcg,thread=multi', '-cpu', PROCESSOR],
    ...['-m', String(MEMORY_MIB), '-smp', '2'],
    ...['-display', 'none', '-nodefaults', '-no-reboot'],
    ...['-serial', serial],
    ...['-qmp', `unix:${MONITOR_SOCKET},server=on,wait=off`],
    ...['-kernel', XEN, '-append', XEN_OPTIONS.join(' ')],
    ...['-initrd', `${VMLINUX} ${KERNEL_OPTIONS} ${kernelOptions},${BOOT_INITRD}`],
    ...DISKS.flatMap((disk) => ['-drive', disk]),
    ...['-device', 'virtio-rng-pci'],
    ...['-device', 'virtio-serial-pci'],
    ...['-chardev', `socket,id=agent,path=${AGENT_SOCKET},server=on,wait=off`],
    ...['-device', `virtserialport,chardev=agent,name=${PORT_NAME}`],
  ];
}

/** What a running lab was booted with, beside what would be booted now. */
const KEYS = [BOOT_INITRD, ROOT_IMAGE].map((image) => `${image}.key`);

function prepare(): void {
  rmSync(RUN, { recursive: true, force: true });
  mkdirSync(RUN, { recursive: true });
  for (const key of KEYS) cpSync(key, path.join(RUN, path.basename(key)));
}

/** Whether the userland of the lab that runs is the one that was built last. */
export function runsNewestImages(): boolean {
  return KEYS.every((key) =>
    readFileSync(key).equals(readFileSync(path.join(RUN, path.basename(key)))),
  );
}

/** Starts it in the background; it outlives this process. @returns its pid */
export function startQemu(): number {
  prepare();
  const log = openSync(path.join(RUN, 'qemu.log'), 'w');
  const child = spawn('qemu-system-x86_64', words(`file:${CONSOLE_LOG}`, ''), {
    detached: true,
    stdio: ['ignore', log, log],
  });
  closeSync(log);
  if (child.pid === undefined) throw new Error('qemu-system-x86_64 did not start');
  child.unref();
  writeFileSync(PID_FILE, String(child.pid));
  return child.pid;
}

/** Starts it on this terminal, with a shell in dom0. */
export function startQemuHere(): ChildProcess {
  prepare();
  return spawn('qemu-system-x86_64', words('mon:stdio', 'lab=shell'), { stdio: 'inherit' });
}
