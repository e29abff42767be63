/** The kernel's own block back end, xen-blkback: where it holds a disk of ours, it is unbound from it. */
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { errnoOf, sentenceOf, TapdiskError } from '../errors';
import { KERNEL_BIND_CHECK_MS, KERNEL_BIND_WAIT_MS } from './limits';

/** Linux: drivers/xen/xenbus/xenbus_probe_backend.c; blkback's driver is named `vbd`. */
const XEN_BACKEND_BUS = '/sys/bus/xen-backend';

export class KernelBackEnd {
  constructor(private readonly bus = XEN_BACKEND_BUS) {}

  /**
   * Resolves when blkback does not hold the device (`vbd-5-51712`). It binds new devices a moment
   * after their directory appeared: with `isNew` that moment is waited for.
   *
   * @throws TapdiskError KERNEL_HOLDS_DISK
   */
  async release(key: string, isNew: boolean): Promise<void> {
    const driver = path.join(this.bus, 'drivers/vbd');
    if (!existsSync(driver)) return;
    const held = path.join(driver, key);
    const deadlineMs = performance.now() + (isNew ? KERNEL_BIND_WAIT_MS : 0);
    while (!existsSync(held)) {
      if (performance.now() >= deadlineMs) return;
      await delay(KERNEL_BIND_CHECK_MS);
    }
    try {
      await writeFile(path.join(driver, 'unbind'), key);
    } catch (error) {
      if (errnoOf(error) === 'ENODEV') return;
      throw new TapdiskError(
        'KERNEL_HOLDS_DISK',
        `The kernel's own back end holds ${key} and does not let go of it (${sentenceOf(error)}); ` +
          'unload it with rmmod xen-blkback, or keep it from loading.',
        { cause: error },
      );
    }
  }
}
