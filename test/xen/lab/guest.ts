/** A guest of the lab: a domain with the lab's kernel and initramfs, which takes commands. */
import type { Answer } from '../agent/protocol';
import { kernelLines } from './kernel-lines';
import type { CommandOptions, Lab } from './lab';

export interface GuestOptions {
  /** `pv` where it is not said. */
  readonly type?: 'pv' | 'pvh';
  /** Lines of xl's `disk`, e.g. 'script=block-tapdisk-ts,vdev=xvda,target=main/web'. */
  readonly disks: readonly string[];
  /** Guest kernel options, e.g. 'xen_blkfront.max_ring_page_order=2'. */
  readonly kernelOptions?: string;
  /** Its blkfront asks for no more queues. 1 where it is not said. */
  readonly vcpus?: number;
  /** Done once its disks are attached, before its first instruction. */
  readonly beforeBoot?: () => Promise<void>;
}

const MEMORY_MIB = 192;
const CREATE_TIMEOUT_MS = 180_000;
const COMMAND_TIMEOUT_MS = 120_000;

const COMPLAINTS =
  'I/O error|EXT4-fs (error|warning)|vbd-[0-9]+: |blkfront: .*(fail|bad)|BUG:|WARNING:|blocked for more';

export class Guest {
  private constructor(
    private readonly lab: Lab,
    readonly name: string,
    /** Changes when the guest is restored. */
    public domid: number,
  ) {}

  /** `xl create`, and waits until the guest takes commands. @throws Error with xl's sentences */
  static async create(lab: Lab, name: string, options: GuestOptions): Promise<Guest> {
    await lab.put(`/tmp/${name}.cfg`, configOf(name, options));
    await lab.dom0(`xl create -p /tmp/${name}.cfg`, { timeoutMs: CREATE_TIMEOUT_MS });
    await options.beforeBoot?.();
    await lab.dom0(`xl unpause ${name}`);
    const guest = new Guest(lab, name, await domidOf(lab, name));
    await guest.isReady();
    return guest;
  }

  async isReady(): Promise<void> {
    const { name } = this;
    const { status } = await this.lab.ask({ kind: 'ready', name }, CREATE_TIMEOUT_MS);
    if (status !== 0) throw new Error(`${name} takes no commands: ${await this.lastOfConsole()}`);
  }

  /** Runs a command in the guest, by sh. Resolves however it ends. */
  async run(command: string, options: CommandOptions = {}): Promise<Answer> {
    const { domid, name } = this;
    const timeoutMs = options.timeoutMs ?? COMMAND_TIMEOUT_MS;
    return this.lab.ask({ kind: 'guest', domid, name, command }, timeoutMs);
  }

  /** As `run`. @returns what it printed. @throws Error where it ends with another status than 0 */
  async sh(command: string, options: CommandOptions = {}): Promise<string> {
    const { status, output } = await this.run(command, options);
    if (status === 0) return output;
    throw new Error(`in ${this.name}: ${command}\nended with ${status}: ${output.trim()}`);
  }

  /** Its kernel's messages about what went wrong with disks or file systems; '' where there are none. */
  async complaints(): Promise<string> {
    return this.sh(kernelLines(COMPLAINTS));
  }

  async save(file: string): Promise<void> {
    await this.lab.dom0(`xl save ${this.name} ${file}`, { timeoutMs: CREATE_TIMEOUT_MS });
  }

  async restore(file: string): Promise<void> {
    await this.lab.dom0(`xl restore ${file}`, { timeoutMs: CREATE_TIMEOUT_MS });
    this.domid = await domidOf(this.lab, this.name);
  }

  /** The guest powers itself off, and its domain is gone. */
  async shutDown(): Promise<void> {
    await this.run('(sleep 0.2; poweroff -f) >/dev/null 2>&1 &');
    await this.lab.until(`${this.name} is gone`, `! xl domid ${this.name} 2>/dev/null`);
  }

  async destroy(): Promise<void> {
    await this.lab.dom0(`xl destroy ${this.name}`);
  }

  async lastOfConsole(): Promise<string> {
    const { output } = await this.lab.run(
      `tail -c 1500 /var/log/xen/console/guest-${this.name}.log`,
    );
    return output;
  }
}

async function domidOf(lab: Lab, name: string): Promise<number> {
  return Number(await lab.dom0(`xl domid ${name}`));
}

function configOf(name: string, options: GuestOptions): string {
  const { type = 'pv', disks, kernelOptions = '', vcpus = 1 } = options;
  const kernel = 'console=hvc0 quiet loglevel=4 mitigations=off random.trust_cpu=on';
  return [
    `name = "${name}"`,
    `type = "${type}"`,
    'kernel = "/lab/vmlinux"',
    'ramdisk = "/lab/guest.cpio"',
    `memory = ${MEMORY_MIB}`,
    `vcpus = ${vcpus}`,
    `extra = "${kernel} ${kernelOptions}"`,
    `disk = [${disks.map((disk) => `'${disk}'`).join(', ')}]`,
    'on_poweroff = "destroy"',
    'on_reboot = "destroy"',
    'on_crash = "destroy"',
    '',
  ].join('\n');
}
