/** Memory for requests' data: never given twice, never lost, whatever the order. */
import fc from 'fast-check';
import { STAGING_PAGES_MAX, STAGING_STEADY_PAGES } from '../../../lib/frontend/limits';
import { PageRuns } from '../../../lib/frontend/xen/page-runs';
import { StagingArea } from '../../../lib/frontend/xen/staging-area';
import { VbdRequest } from '../../../lib/vbd/request';
import { runs } from '../../ring/property-options';

const PAGE = 4096;

function bytesOf(request: VbdRequest): number {
  let bytes = 0;
  for (let run = 0; run < request.runCount; run++) bytes += request.runLengths[run];
  return bytes;
}

describe('page runs', () => {
  it('are the first that fit, and then the first there is', () => {
    const pages = new PageRuns(8);
    expect([pages.takeFirst(2), pages.takeFirst(2), pages.takeFirst(2)]).toEqual([0, 2, 4]);
    pages.giveBack(2, 2);
    expect([pages.takeFirst(1), pages.taken]).toEqual([2, 1]);
    expect([pages.takeFirst(2), pages.taken]).toEqual([6, 2]);
    pages.giveBack(0, 1);
    expect([pages.takeFirst(2), pages.taken]).toEqual([0, 1]);
    expect([pages.takeFirst(2), pages.taken, pages.free]).toEqual([3, 1, 0]);
  });

  it('are nobody else’s until they are given back', () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 40 }), { maxLength: 200 }), (steps) => {
        const total = 64;
        const pages = new PageRuns(total);
        const owner = new Int32Array(total).fill(-1);
        const taken: { first: number; count: number }[] = [];
        steps.forEach((step, who) => {
          if (step > 20 && taken.length > 0) {
            const [{ first, count }] = taken.splice(step % taken.length, 1);
            pages.giveBack(first, count);
            owner.fill(-1, first, first + count);
          } else if (pages.free > 0) {
            const first = pages.takeFirst(1 + (step % 20));
            for (let page = first; page < first + pages.taken; page++) {
              expect(owner[page]).toBe(-1);
              owner[page] = who;
            }
            taken.push({ first, count: pages.taken });
          }
          expect(pages.free).toBe(owner.filter((page) => page === -1).length);
        });
      }),
      runs(300),
    );
  });
});

describe('the staging area', () => {
  const area = new StagingArea();
  afterAll(() => area.close());

  it('gives one run, page-aligned, from the memory that may be pinned', () => {
    const request = new VbdRequest(0);
    area.give(request, 11 * PAGE + 512);
    expect(request.runCount).toBe(1);
    expect(request.runOffsets[0] % PAGE).toBe(0);
    expect(bytesOf(request)).toBe(11 * PAGE + 512);
    expect(area.steadyMemory).toEqual([request.memory]);
    expect(request.memory.address % PAGE).toBe(0);
    area.takeBack(request);
  });

  it('has room for its limit and no more, and all of it again', () => {
    const requests: VbdRequest[] = [];
    for (let round = 0; round < 2; round++) {
      while (area.hasRoom(256)) {
        const request = new VbdRequest(0);
        area.give(request, 256 * PAGE);
        requests.push(request);
      }
      expect(requests.length).toBe(STAGING_PAGES_MAX / 256);
      const pinned = requests.filter(({ memory }) => memory === area.steadyMemory[0]);
      expect(pinned.length).toBe(STAGING_STEADY_PAGES / 256);
      for (const request of requests.splice(0)) area.takeBack(request);
    }
  });

  it('gives scattered pages where no others are free', () => {
    const single = Array.from({ length: STAGING_PAGES_MAX }, () => new VbdRequest(0));
    for (const request of single) area.give(request, PAGE);
    expect(area.hasRoom(1)).toBe(false);
    const kept = single.filter((request, index) => {
      if (index % 2 === 0) area.takeBack(request);
      return index % 2 === 1;
    });
    const large = new VbdRequest(0);
    area.give(large, 255 * PAGE + 1024);
    expect(large.runCount).toBe(256);
    expect(bytesOf(large)).toBe(255 * PAGE + 1024);
    const offsets = new Set(large.runOffsets.subarray(0, large.runCount));
    for (const { memory, runOffsets } of kept) {
      if (memory === large.memory) expect(offsets.has(runOffsets[0])).toBe(false);
    }
    for (const request of [large, ...kept]) area.takeBack(request);
    area.give(large, 256 * PAGE);
    expect(large.runCount).toBe(1);
    area.takeBack(large);
  });
});
