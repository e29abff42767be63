/** Which processes are dead for certain, with real ones. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import {
  readHostIdentity,
  type ClusterProcess,
} from '../../../lib/coordination/etcd/host-identity';
import { processStat } from '../../../lib/coordination/process-identity';

const here = readHostIdentity();

function asProcess(pid: number): ClusterProcess {
  const { host, bootId, pidNamespace } = here;
  return { host, bootId, pidNamespace, pid, startTime: processStat(pid)!.startTime };
}

async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await new Promise((resolve) => setTimeout(resolve, 10));
}

describe('a process', () => {
  const children: ChildProcess[] = [];
  const start = (command: string): ChildProcess => {
    const child = spawn('sh', ['-c', command], { stdio: ['ignore', 'pipe', 'ignore'] });
    children.push(child);
    return child;
  };
  afterEach(() => {
    for (const child of children.splice(0)) child.kill('SIGKILL');
  });

  it('that runs, or is stopped, is not dead; one that was killed is', async () => {
    expect(here.isDead(here)).toBe(false);
    const child = start('exec sleep 60');
    const other = asProcess(child.pid!);
    expect(here.isDead(other)).toBe(false);
    child.kill('SIGSTOP');
    expect(here.isDead(other)).toBe(false);
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(here.isDead(other)).toBe(true);
  });

  it('that ended and was not asked for is dead', async () => {
    // The shell's child ends, and the program that it becomes never asks for it.
    const child = start('sleep 0.05 & echo $!; exec sleep 60');
    const [line] = (await once(child.stdout!, 'data')) as [Buffer];
    const pid = Number(line.toString());
    const other = asProcess(pid);
    await until(() => processStat(pid)?.state === 'Z');
    expect(readFileSync(`/proc/${pid}/stat`, 'utf8')).toContain(' Z ');
    expect(here.isDead(other)).toBe(true);
  });

  it("whose pid is another's by now is dead", () => {
    expect(here.isDead({ ...asProcess(process.pid), startTime: '1' })).toBe(true);
  });

  it('of elsewhere is never known to be dead', () => {
    const gone = { ...asProcess(process.pid), startTime: '1' };
    expect(here.isDead({ ...gone, host: 'another' })).toBe(false);
    expect(here.isDead({ ...gone, bootId: 'of yesterday' })).toBe(false);
    expect(here.isDead({ ...gone, pidNamespace: 'pid:[7]' })).toBe(false);
  });
});

test('the host may be named', () => {
  expect(readHostIdentity({ TAPDISK_TS_HOST: 'dom0-7' }).host).toBe('dom0-7');
  expect(readHostIdentity({ TAPDISK_TS_HOST: '' }).host).toBe(here.host);
  expect(here.host).not.toBe('');
});
