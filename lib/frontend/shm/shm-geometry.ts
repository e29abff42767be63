/** The shape of a stand-in device: its ring, its data pages, and where each request's lie. */
import { z } from 'zod/v3';
import { assert } from '../../assert';
import { integer } from '../../integer';
import {
  ABI_BLKTAP2,
  ABI_NATIVE,
  ABI_X86_32,
  INDIRECT_SEGMENTS_MAX,
  PAGE_BYTES,
  type RingAbi,
  ringEntries,
  SEGMENTS_PER_REQUEST_MAX,
} from '../../ring';
import { SHM_PAGES_MAX } from '../limits';

export const SHM_DEVICE_VERSION = 1;

const RING_PAGES = [1, 2, 4, 8, 16];
const ABIS = { native: ABI_NATIVE, x86_32: ABI_X86_32, blktap2: ABI_BLKTAP2 } as const;

/** device.json; see docs/formats-shm.md. */
export const shmGeometrySchema = z
  .strictObject({
    version: z.literal(SHM_DEVICE_VERSION),
    /** Layout of requests and responses, and meaning of operations 2 and 3. */
    abi: z.enum(['native', 'x86_32', 'blktap2']),
    ringPages: z.number().refine((pages) => RING_PAGES.includes(pages), {
      message: `must be one of ${RING_PAGES.join(', ')}`,
    }),
    /** Data pages that belong to each entry of the ring. */
    dataPagesPerSlot: integer.min(SEGMENTS_PER_REQUEST_MAX).max(INDIRECT_SEGMENTS_MAX + 1),
    /** Most segments of an indirect request; 0: the ring does not take them. */
    indirectSegmentsMax: integer.min(0).max(INDIRECT_SEGMENTS_MAX),
    /**
     * How a segment names its page. 'slot', as in the blktap kernel: by the request's id and its
     * own place in the request. 'page', as grants do: its gref is a page number in the data area.
     */
    addressing: z.enum(['slot', 'page']),
  })
  .superRefine((geometry, context) => {
    if (geometry.abi === 'blktap2' && geometry.addressing !== 'slot') {
      context.addIssue({ code: 'custom', message: 'a blktap2 ring has addressing "slot"' });
    }
    if (geometry.indirectSegmentsMax > 0) {
      if (geometry.addressing !== 'page') {
        context.addIssue({ code: 'custom', message: 'indirect requests need addressing "page"' });
      }
      if (geometry.dataPagesPerSlot <= geometry.indirectSegmentsMax) {
        context.addIssue({
          code: 'custom',
          message: 'dataPagesPerSlot must be more than indirectSegmentsMax',
        });
      }
    }
  });

export type ShmGeometry = z.infer<typeof shmGeometrySchema>;

/** The shape of a blktap1 device: 353 pages, ids are slots. */
export const BLKTAP_GEOMETRY: ShmGeometry = {
  version: SHM_DEVICE_VERSION,
  abi: 'native',
  ringPages: 1,
  dataPagesPerSlot: SEGMENTS_PER_REQUEST_MAX,
  indirectSegmentsMax: 0,
  addressing: 'slot',
};

export function shmAbi(geometry: ShmGeometry): RingAbi {
  return ABIS[geometry.abi];
}

/** Entries of the ring: requests that can be in flight. */
export function shmSlots(geometry: ShmGeometry): number {
  return ringEntries(shmAbi(geometry), geometry.ringPages);
}

export function shmDataPages(geometry: ShmGeometry): number {
  return shmSlots(geometry) * geometry.dataPagesPerSlot;
}

/** Size of the `ring` file: ring pages, then data pages. */
export function shmFileBytes(geometry: ShmGeometry): number {
  const pages = geometry.ringPages + shmDataPages(geometry);
  assert(pages <= SHM_PAGES_MAX, 'the largest geometry is within the limit');
  return pages * PAGE_BYTES;
}
