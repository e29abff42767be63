/** Tries everything that a pool needs, end to end: for `doctor --pool`. */
import { randomUUID } from 'node:crypto';
import { open, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../clock';
import { TEMPORARY_PREFIX } from '../coordination/local/durable-file';
import { sentenceOf } from '../errors';
import { BootClock } from '../etcd/boot-clock';
import type { Etcd } from '../etcd/etcd';
import { openEtcd } from '../etcd/open-etcd';
import { poolsDirectory } from './config-directory';
import { CHECK_LEASE_MS, CLOCK_DRIFT_MS_MAX, CLUSTER_ATTEMPT_MS } from './limits';
import { openPool, type PoolSetting } from './open-pool';
import { type EtcdPoolConfig, isEtcdPool, readPoolConfig, storePathOf } from './pool-config';

export interface PoolCheck {
  /** Short and stable: programs may look for it. */
  readonly name: string;
  readonly ok: boolean;
  /** What was found, or what is wrong and what to do. */
  readonly found: string;
}

/** Changes nothing but a key and a file of its own, which it removes. Never rejects. */
export async function checkPool(name: string, setting: PoolSetting = {}): Promise<PoolCheck[]> {
  const checks: PoolCheck[] = [];
  const check = async (what: string, look: () => Promise<string>): Promise<boolean> => {
    try {
      checks.push({ name: what, ok: true, found: await look() });
      return true;
    } catch (error) {
      checks.push({ name: what, ok: false, found: sentenceOf(error) });
      return false;
    }
  };
  const directory = poolsDirectory(setting.env, setting.uid);
  const config = await readPoolConfig(directory, name).catch((error: unknown) => {
    checks.push({ name: 'config', ok: false, found: sentenceOf(error) });
    return null;
  });
  if (config === null) return checks;
  const { store, coordination } = config;
  await check('config', async () => `${store.kind} store, ${coordination.kind} coordination`);
  if (isEtcdPool(config)) await checkCluster(config, setting, check, checks);
  const path = storePathOf(config);
  if (path !== null) await checkStoreFiles(path, setting, check);
  await check('pool', async () => {
    const pool = await openPool(name, setting);
    try {
      return `is the one meant (${pool.uuid}), with ${(await pool.coordination.names()).length} volumes`;
    } finally {
      await pool.close();
    }
  });
  return checks;
}

type Check = (what: string, look: () => Promise<string>) => Promise<boolean>;

async function checkCluster(
  { coordination: { cluster } }: EtcdPoolConfig,
  { env = process.env }: PoolSetting,
  check: Check,
  checks: PoolCheck[],
): Promise<void> {
  let etcd: Etcd | null = null;
  const clock = new BootClock();
  await check('etcd-settings', async () => {
    etcd = await openEtcd(cluster, env, { clock });
    return `${cluster.endpoints.length} members, prefix ${cluster.prefix}`;
  });
  const opened = etcd as Etcd | null;
  if (opened === null) return;
  try {
    for (const { endpoint, status, error } of await opened.members({
      deadlineMs: CLUSTER_ATTEMPT_MS,
    })) {
      const found =
        status === null
          ? `${error}; start that member, or correct the endpoint`
          : `etcd ${status.version}, ${status.latencyMs.toFixed(1)} ms${status.isLeader ? ', leader' : ''}`;
      checks.push({ name: `member ${endpoint}`, ok: status !== null, found });
    }
    await check('put', () => checkPut(opened, clock));
    await check('lease', () => checkLease(opened));
    await check('clock', () => checkClock(clock));
    await check('alarms', async () => {
      const alarms = await opened.alarms({ deadlineMs: CLUSTER_ATTEMPT_MS });
      if (alarms.length === 0) return 'none';
      const told = alarms.map(({ alarm, memberId }) => `${alarm} at ${memberId}`).join(', ');
      throw new Error(`${told}; see etcd's log, and for NOSPACE compact, defragment and disarm`);
    });
  } finally {
    await opened.close();
  }
}

/** A write that a majority keeps, as every commit and every attach is. */
async function checkPut(etcd: Etcd, clock: Clock): Promise<string> {
  const key = `doctor/${randomUUID()}`;
  const call = { deadlineMs: CLUSTER_ATTEMPT_MS };
  const before = clock.nowMs();
  await etcd.transaction(
    { compare: [], success: [{ put: { key, value: Buffer.from('doctor') } }] },
    call,
  );
  const tookMs = clock.nowMs() - before;
  await etcd.transaction({ compare: [], success: [{ delete: { key } }] }, call);
  return `a majority kept a key within ${tookMs.toFixed(1)} ms`;
}

async function checkLease(etcd: Etcd): Promise<string> {
  const call = { deadlineMs: CLUSTER_ATTEMPT_MS };
  const { leaseId } = await etcd.grantLease(CHECK_LEASE_MS, call);
  const leftMs = await etcd.keepAlive(leaseId, call);
  await etcd.revokeLease(leaseId, call);
  return `granted, kept alive (${(leftMs / 1000).toFixed(0)} s) and ended`;
}

/** The clock that a volume's right is counted by must go at the pace of another one. */
async function checkClock(clock: Clock): Promise<string> {
  const [bootBefore, before] = [clock.nowMs(), performance.now()];
  await new Promise((resolve) => setTimeout(resolve, CLOCK_CHECK_MS));
  const driftMs = Math.abs(clock.nowMs() - bootBefore - (performance.now() - before));
  if (driftMs <= CLOCK_DRIFT_MS_MAX) return 'goes evenly';
  throw new Error(
    `the machine's two clocks differ by ${driftMs.toFixed(1)} ms after ${CLOCK_CHECK_MS} ms, so ` +
      'none is fit to count a lease by; look at the clock source of this (virtual) machine',
  );
}

const CLOCK_CHECK_MS = 200;

async function checkStoreFiles(
  directory: string,
  { uid = process.geteuid!() }: PoolSetting,
  check: Check,
): Promise<void> {
  await check('owner', async () => {
    const { uid: owner } = await stat(directory);
    if (owner === uid) return `${directory} is of this user (${uid})`;
    throw new Error(
      `${directory} is of user ${owner} and this is user ${uid}; every host must use the same one`,
    );
  });
  await check('directory', async () => {
    const path = join(directory, `${TEMPORARY_PREFIX}doctor-${randomUUID()}`);
    const before = performance.now();
    const file = await open(path, 'wx+', 0o600);
    try {
      const written = Buffer.from(randomUUID());
      await file.write(written, 0, written.length, 0);
      await file.datasync();
      const { buffer, bytesRead } = await file.read(
        Buffer.alloc(written.length),
        0,
        written.length,
        0,
      );
      if (!buffer.subarray(0, bytesRead).equals(written)) throw notReadBack(directory);
    } finally {
      await file.close();
      await unlink(path);
    }
    return `wrote, synced and read a file within ${(performance.now() - before).toFixed(1)} ms`;
  });
}

function notReadBack(directory: string): Error {
  return new Error(`${directory} gave back other bytes than were written; look at its file system`);
}
