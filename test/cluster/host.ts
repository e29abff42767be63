/** A "host": its own configuration, run directory, rings and name, and as a rule its own network. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod/v3';
import { attachVolume } from '../../lib/cli/running/attach-volume';
import type { DiskStatus, HandedOver } from '../../lib/control/disk-host';
import { callProcess, findRunningDisk, listRunning } from '../../lib/control/socket-client';
import { ShmDevice } from '../../lib/frontend/shm/shm-device';
import { BLKTAP_GEOMETRY } from '../../lib/frontend/shm/shm-geometry';
import { untilUndone } from '../bench/left-behind';
import { PROJECT_ROOT } from '../project-root';
import { isAlive, kill, until } from './processes';
import { type Ended, run, succeed } from './run-command';

const PROGRAM = join(PROJECT_ROOT, 'bin/tapdisk-ts');
const TAPDISK = join(PROJECT_ROOT, 'bin/tapdisk');
const ATTACH_DEADLINE_MS = 120_000;

const MINORS = 256;

const attachedSchema = z.object({ pid: z.number(), device: z.string() });

/** A process that serves a volume, and its ring. */
export interface Served {
  readonly pid: number;
  /** Directory of the ring. */
  readonly ring: string;
}

export interface Ring {
  readonly minor: number;
  /** Its directory. */
  readonly ring: string;
}

/** How a program is started on this host: in its network, or as it is. */
export type Inside = (words: readonly string[]) => string[];

export class Host {
  readonly rings: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  private minors = 0;

  /**
   * @param memory a directory in memory, for rings as for all else of the host: so that whatever a
   * process writes to a block device is its volume's
   */
  constructor(
    readonly name: string,
    memory: string,
    private readonly inside: Inside = (words) => [...words],
    /** Is told of each command, for people to see. */
    private readonly tell: (words: readonly string[]) => void = () => {},
  ) {
    this.rings = join(memory, name, 'rings');
    const runtime = join(memory, name, 'run');
    mkdirSync(runtime, { recursive: true, mode: 0o700 });
    mkdirSync(this.rings, { recursive: true, mode: 0o700 });
    this.env = {
      ...process.env,
      TAPDISK_TS_CONFIG_DIR: join(memory, name, 'config'),
      TAPDISK_TS_RUNTIME_DIR: runtime,
      TAPDISK_TS_HOST: name,
    };
  }

  /** `tapdisk-ts …` on this host. @returns what it printed */
  succeed(...words: string[]): Promise<string> {
    this.tell(words);
    return succeed(this.words(words), { env: this.env, deadlineMs: ATTACH_DEADLINE_MS });
  }

  /** The same, whatever its exit code. */
  run(...words: string[]): Promise<Ended> {
    return run(this.words(words), { env: this.env, deadlineMs: ATTACH_DEADLINE_MS });
  }

  /** Words that run any program on this host. */
  words(words: readonly string[], program = PROGRAM): string[] {
    return this.inside([program, ...words]);
  }

  /** A ring that nobody used before; it is made here, so that a guest may wait on it. */
  newRing(): Ring {
    const minor = this.minors++ % MINORS;
    const ring = join(this.rings, `blktap${minor}`);
    ShmDevice.remove(ring);
    ShmDevice.create(ring, BLKTAP_GEOMETRY);
    return { minor, ring };
  }

  /** Attaches on a ring of its own, or on one that was used before. */
  async attach(
    volume: string,
    how: readonly string[] = [],
    { minor, ring } = this.newRing(),
  ): Promise<Served> {
    const device = ['--device', `shm:${this.rings}`, '--minor', String(minor)];
    const output = await this.succeed('attach', volume, ...device, ...how, '--json');
    const { pid } = attachedSchema.parse(JSON.parse(output));
    return this.ownProcess({ pid, ring });
  }

  private ownProcess(served: Served): Served {
    untilUndone(() => {
      if (isAlive(served.pid)) process.kill(served.pid, 'SIGKILL');
    });
    return served;
  }

  /** Stands by to attach; resolves when it is ready to. */
  standBy(volume: string, ring: Ring): Promise<Served> {
    return this.attach(volume, ['--wait'], ring);
  }

  /** The same without the command line, where it is done so often that starting that counts. */
  async standByDirectly(volume: string, { minor, ring }: Ring): Promise<Served> {
    const program = join(this.rings, '..', 'tapdisk');
    const words = this.words([], TAPDISK).join(' ');
    writeFileSync(program, `#!/bin/sh\nexec ${words} "$@"\n`, { mode: 0o700 });
    const { pid } = await attachVolume({
      ...{ volume, minor, device: `shm:${this.rings}`, mode: 'wait' },
      ...{ readOnly: false, domid: 0, log: undefined },
      env: { ...this.env, TAPDISK_TS_PROGRAM: program },
    });
    return this.ownProcess({ pid, ring });
  }

  /** Gives a volume to the one that stands by. @returns what its old side saw of the blackout */
  async handOver(volume: string): Promise<HandedOver> {
    const { socketPath, disk } = await findRunningDisk(volume, undefined, this.env);
    return callProcess(socketPath, 'handOver', { cookie: disk.cookie });
  }

  /** Resolves when a process of this host is in `state` for the volume; to its pid. */
  async untilState(volume: string, state: string): Promise<number> {
    let pid: number | undefined;
    await until(`${volume} is ${state} on ${this.name}`, async () => {
      pid = (await this.running(volume)).find((disk) => disk.state === state)?.pid;
      return pid !== undefined;
    });
    return pid ?? 0;
  }

  /** Kills whatever of this host still serves the volume. */
  async killAll(volume: string): Promise<void> {
    for (const { pid } of await this.running(volume)) await kill(pid);
  }

  private async running(volume: string): Promise<readonly DiskStatus[]> {
    const running = await listRunning(this.env);
    return running.flatMap(({ disks }) => disks.filter((disk) => disk.volume === volume));
  }
}
