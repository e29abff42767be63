/** What a case of the Xen lab is given; what it made, the runner takes away again. */
import { backEndOf, XVDB } from './back-end';
import { Guest, type GuestOptions } from './guest';
import type { Lab } from './lab';

/** Disks of the guest that cases share are plugged in as this. */
export const PLUGGED = '/dev/xvdb';

/** The pool that every case finds, in dom0's /data. */
export const POOL = 'main';
export const POOL_DIRECTORY = '/data/pool';

/** There where dom0 knows the pool: to look costs no start of Node. */
export const poolFile = (pool: string): string => `/etc/tapdisk-ts/pools.d/${pool}.json`;

const CHUNK_SIZE = '1M';

export interface VolumeOptions {
  /** POOL where it is not said. */
  readonly pool?: string;
  /** No later case gets it; else volumes serve several, which saves a start of Node for each. */
  readonly spoilt?: boolean;
}

/** Resolves with the figures, for one line; fails by throwing. */
export type Case = (site: Site) => Promise<string>;

/** A guest without disks, alive from the first case that wants it: a boot for each would take long. */
let shared: Guest | null = null;

/** Volumes that cases which passed have left, by `pool size`. */
const leftVolumes = new Map<string, string[]>();

/** Of this run and of those before it in the same lab: logs are by name. */
let made = Date.now() % 1_000_000;
const unique = (): string => (++made).toString(36);

export class Site {
  readonly guests: Guest[] = [];
  private readonly volumes: { readonly kind: string; readonly volume: string }[] = [];
  private plugged: string | null = null;

  constructor(
    readonly lab: Lab,
    /** The case's name: those of its guests begin with it. */
    readonly name: string,
    readonly say: (text: string) => void,
  ) {}

  /** A volume that nobody has, e.g. of '512M'; anything may be on it. @returns "main/…" */
  async volume(size: string, { pool = POOL, spoilt = false }: VolumeOptions = {}): Promise<string> {
    const kind = `${pool} ${size}`;
    let volume = leftVolumes.get(kind)?.shift();
    if (volume === undefined) {
      volume = `${pool}/v-${unique()}`;
      await this.lab.dom0(`tapdisk-ts create ${volume} --size ${size} --chunk-size ${CHUNK_SIZE}`);
    }
    if (!spoilt) this.volumes.push({ kind, volume });
    return volume;
  }

  /** Lets later cases have this one's volumes: it has passed, and nobody uses them. */
  leaveVolumes(): void {
    for (const { kind, volume } of this.volumes) {
      leftVolumes.set(kind, [...(leftVolumes.get(kind) ?? []), volume]);
    }
  }

  /** A new guest that takes commands. */
  async guest(options: GuestOptions): Promise<Guest> {
    const guest = await Guest.create(this.lab, `${this.name}-g${unique()}`, options);
    this.guests.push(guest);
    return guest;
  }

  /** A guest whose xvda, xvdb, … are these volumes, by the hotplug script. */
  guestOn(volumes: readonly string[], options: Partial<GuestOptions> = {}): Promise<Guest> {
    const disks = volumes.map((volume, index) => diskLine(volume, `xvd${'abcdefgh'[index]}`));
    return this.guest({ ...options, disks });
  }

  /**
   * The guest that cases share, with a volume plugged in as PLUGGED by `xl block-attach`.
   *
   * @param access as diskLine takes it
   */
  async plug(volume: string, access?: string): Promise<Guest> {
    const guest = await sharedGuest(this.lab);
    this.plugged = volume;
    await this.lab.dom0(`xl block-attach ${guest.name} '${diskLine(volume, 'xvdb', access)}'`);
    await deviceIsThere(guest);
    return guest;
  }

  async unplug(): Promise<void> {
    this.plugged = null;
    if (shared === null) throw new Error('there is no guest to unplug it from');
    await this.lab.dom0(`xl block-detach ${shared.name} xvdb`);
    const gone = `! xenstore-exists ${backEndOf(shared, XVDB)}`;
    await this.lab.until('the disk has left xenstore', gone);
  }

  /** Destroys the guests that are left. The volumes go with their pool. */
  async cleanUp(): Promise<void> {
    for (const { name } of this.guests) await this.lab.run(`xl destroy ${name}`);
    if (this.plugged !== null) {
      // A disk that will not go goes with its guest, and the next case gets another.
      await this.unplug().catch(() => destroySharedGuest(this.lab));
    }
  }
}

/** The one without disks that cases share, booted where it does not live. */
export async function sharedGuest(lab: Lab): Promise<Guest> {
  if (shared === null || (await lab.run(`xl domid ${shared.name}`)).status !== 0) {
    shared = await Guest.create(lab, `shared-g${unique()}`, { disks: [] });
  }
  return shared;
}

/** Also for a lab that runs on: the next run makes another. */
export async function destroySharedGuest(lab: Lab): Promise<void> {
  if (shared !== null) await lab.run(`xl destroy ${shared.name}`);
  shared = null;
}

/** POOL, with all its volumes. @throws Error where somebody still has one */
export async function deletePool(lab: Lab): Promise<void> {
  const command = `tapdisk-ts pool delete ${POOL} --force --yes`;
  await lab.until(`nobody has a volume of ${POOL}, and it is deleted`, command, 30_000);
}

export async function deviceIsThere(guest: Guest, device = PLUGGED): Promise<void> {
  await guest.sh(`for i in $(seq 150); do [ -b ${device} ] && exit 0; sleep 0.2; done; exit 1`);
}

/** As an admin writes it in an xl config. `access`: 'w' or 'ro', and other words for xl behind it. */
export function diskLine(volume: string, vdev: string, access = 'w'): string {
  return `script=block-tapdisk-ts,vdev=${vdev},access=${access},target=${volume}`;
}
