/**
 * Loaded into a serving process by NODE_OPTIONS=--require: profiles it from one SIGUSR2 to the next,
 * and then writes what it found to the file that TAPDISK_TS_BENCH_PROFILE names.
 */
import { renameSync, writeFileSync } from 'node:fs';
import { Session } from 'node:inspector';
import { PerformanceObserver } from 'node:perf_hooks';
import type { Profile, ProfileKind } from './profile';

/** Every so many bytes, on average, an allocation is noted with its stack. */
const ALLOCATION_INTERVAL_BYTES = 1024;
const TIME_INTERVAL_US = 250;

interface Frame {
  readonly functionName: string;
  readonly url: string;
  readonly lineNumber: number;
}

interface AllocationNode {
  readonly callFrame: Frame;
  readonly selfSize: number;
  readonly children: readonly AllocationNode[];
}

interface TimeNode {
  readonly id: number;
  readonly callFrame: Frame;
  readonly children?: readonly number[];
}

interface TimeProfile {
  readonly nodes: readonly TimeNode[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

class Probe {
  private readonly session = new Session();
  private running = false;
  private collections = 0;

  constructor(
    private readonly file: string,
    private readonly kind: ProfileKind,
  ) {
    this.session.connect();
    new PerformanceObserver((list) => (this.collections += list.getEntries().length)).observe({
      entryTypes: ['gc'],
    });
  }

  async toggle(): Promise<void> {
    if (this.running) return this.stop();
    this.running = true;
    this.collections = 0;
    if (this.kind === 'time') {
      await this.post('Profiler.enable');
      await this.post('Profiler.setSamplingInterval', { interval: TIME_INTERVAL_US });
      await this.post('Profiler.start');
    } else {
      await this.post('HeapProfiler.startSampling', {
        samplingInterval: ALLOCATION_INTERVAL_BYTES,
        // What was collected meanwhile was allocated all the same.
        includeObjectsCollectedByMajorGC: true,
        includeObjectsCollectedByMinorGC: true,
      });
    }
    this.write({ places: [], collections: 0 });
  }

  private async stop(): Promise<void> {
    this.running = false;
    const places = this.kind === 'time' ? await this.stopTime() : await this.stopAllocations();
    this.write({ places, collections: this.collections });
  }

  private async stopAllocations(): Promise<Profile['places']> {
    const { profile } = (await this.post('HeapProfiler.stopSampling')) as {
      profile: { head: AllocationNode };
    };
    const sums = new Map<string, number>();
    const visit = (node: AllocationNode, caller: string): void => {
      const place = placeOf(node.callFrame, caller);
      add(sums, place, node.selfSize);
      for (const child of node.children) visit(child, place);
    };
    visit(profile.head, '');
    return [...sums];
  }

  private async stopTime(): Promise<Profile['places']> {
    const { profile } = (await this.post('Profiler.stop')) as { profile: TimeProfile };
    const nodes = new Map(profile.nodes.map((node) => [node.id, node]));
    const places = new Map<number, string>();
    const name = ({ id, callFrame, children = [] }: TimeNode, caller: string): void => {
      const place = placeOf(callFrame, caller);
      places.set(id, place);
      for (const child of children) name(nodes.get(child)!, place);
    };
    name(profile.nodes[0], '');
    const sums = new Map<string, number>();
    for (const [index, id] of profile.samples.entries()) {
      add(sums, places.get(id) ?? '', profile.timeDeltas[index]);
    }
    return [...sums];
  }

  private write(profile: Profile): void {
    writeFileSync(`${this.file}.new`, JSON.stringify(profile));
    renameSync(`${this.file}.new`, this.file);
  }

  private post(method: string, params: object = {}): Promise<unknown> {
    return new Promise((resolve, reject) =>
      this.session.post(method, params, (error, result) =>
        error === null ? resolve(result) : reject(error),
      ),
    );
  }
}

function add(sums: Map<string, number>, place: string, amount: number): void {
  if (amount !== 0) sums.set(place, (sums.get(place) ?? 0) + amount);
}

/** Native code has no place of its own, and often no name: it is told by who called it. */
function placeOf({ functionName, url, lineNumber }: Frame, caller: string): string {
  const file = url.replace(/^.*\/(dist|node_modules)\//, '').replace('file://', '');
  if (file !== '') return `${functionName || '(anonymous)'} (${file}:${lineNumber + 1})`;
  if (caller === '' || caller.startsWith('(') || NATIVE.test(caller)) return functionName || caller;
  return `native code called by ${caller}`;
}

const NATIVE = /^native code/;

const { TAPDISK_TS_BENCH_PROFILE: file, TAPDISK_TS_BENCH_KIND: kind } = process.env;
if (file !== undefined) {
  const probe = new Probe(file, kind === 'time' ? 'time' : 'allocations');
  process.on('SIGUSR2', () => void probe.toggle());
}
