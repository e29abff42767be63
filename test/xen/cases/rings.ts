/** Shapes of rings that blkfront takes when it is told to: several queues, several pages. */
import { XVDA } from '../lab/back-end';
import type { Case } from '../lab/case';
import { verified } from './fio';

const QUEUES = 2;
/** log2 of the pages. */
const PAGE_ORDER = 2;

export const rings: Case = async (site) => {
  const { lab } = site;
  const guest = await site.guestOn([await site.volume('64M')], {
    vcpus: QUEUES,
    kernelOptions: `xen_blkfront.max_queues=${QUEUES} xen_blkfront.max_ring_page_order=${PAGE_ORDER}`,
  });
  const read = async (name: string): Promise<number> =>
    Number(await lab.dom0(`xenstore-read /local/domain/${guest.domid}/device/vbd/${XVDA}/${name}`));
  const queues = await read('multi-queue-num-queues');
  const order = await read('ring-page-order');
  if (queues !== QUEUES || order !== PAGE_ORDER) {
    throw new Error(`the front end has ${queues} queues of ${2 ** order} pages`);
  }
  await verified(guest, '/dev/xvda', 32);
  await guest.shutDown();
  return `${queues} queues of ${2 ** order} pages each; fio verify`;
};
