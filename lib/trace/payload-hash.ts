/** xxHash32 of payloads, for what a trace keeps of data and what a replay learns of it. */

export type PayloadHash = (bytes: Uint8Array) => number;

let loading: Promise<PayloadHash> | null = null;

/** The hash function (seed 0); its WebAssembly is made ready once a process. */
export function loadPayloadHash(): Promise<PayloadHash> {
  loading ??= load();
  return loading;
}

async function load(): Promise<PayloadHash> {
  const { default: xxhash } = await import('xxhash-wasm');
  const { h32Raw } = await xxhash();
  return (bytes) => h32Raw(bytes);
}
