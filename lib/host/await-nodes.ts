/** Waits until nodes say something, by a watch and not by asking again and again. */
import type { XenStore } from '../xenstore/xenstore';

/**
 * Resolves to what `look` found, once it is not undefined; it is asked at first and whenever
 * something at or below `paths` changed. Undefined after `timeoutMs`.
 */
export async function awaitNodes<Found>(
  store: XenStore,
  paths: readonly string[],
  look: () => Promise<Found | undefined>,
  timeoutMs: number,
): Promise<Found | undefined> {
  let changed = true;
  let wake: () => void = () => undefined;
  const onChange = (): void => {
    changed = true;
    wake();
  };
  let isOver = false;
  const timer = setTimeout(() => {
    isOver = true;
    wake();
  }, timeoutMs);
  const watches = await Promise.all(paths.map((path) => store.watch(path, onChange)));
  try {
    while (!isOver) {
      changed = false;
      const found = await look();
      if (found !== undefined) return found;
      if (!changed && !isOver) await new Promise<void>((resolve) => (wake = resolve));
    }
    return undefined;
  } finally {
    clearTimeout(timer);
    await Promise.all(watches.map((watch) => watch.stop()));
  }
}
