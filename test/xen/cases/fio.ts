/** fio in a guest: direct, 32 at once, mixed sizes, everything that was written verified. */
import type { Guest } from '../lab/guest';

const TIMEOUT_MS = 300_000;
const OUTPUT = '/tmp/fio.json';

interface Latency {
  readonly clat_ns: { readonly max: number };
}

interface FioOutput {
  readonly jobs: readonly {
    readonly error: number;
    readonly read: Latency;
    readonly write: Latency;
  }[];
}

/** Writes and reads `mib` MiB at random, then reads all again. @returns the longest request, in s */
export async function verified(guest: Guest, device: string, mib: number): Promise<number> {
  const words = [
    `fio --name=verify --filename=${device} --ioengine=libaio --direct=1 --iodepth=32`,
    `--rw=randrw --bssplit=4k/40:16k/20:64k/20:256k/20 --size=${mib}M`,
    `--verify=crc32c --verify_fatal=1 --do_verify=1 --randseed=1`,
    `--output-format=json --output=${OUTPUT}`,
  ];
  await guest.sh(`${words.join(' ')} || { cat ${OUTPUT}; exit 1; }`, { timeoutMs: TIMEOUT_MS });
  const complaints = await guest.complaints();
  if (complaints !== '') throw new Error(`the guest's kernel complains: ${complaints}`);
  const text = await guest.sh(`cat ${OUTPUT}`);
  const { jobs } = JSON.parse(text.slice(text.indexOf('{'))) as FioOutput;
  const [{ error, read, write }] = jobs;
  if (error !== 0) throw new Error(`fio: error ${error}`);
  return Math.max(read.clat_ns.max, write.clat_ns.max) / 1e9;
}

/** Resolves once requests of a `verified` that runs beside are on their way. */
export async function isLoaded(guest: Guest, device: string): Promise<void> {
  const name = device.replace('/dev/', '');
  const written = `awk '{ exit !($7 > 2048) }' /sys/block/${name}/stat`;
  await guest.sh(`for i in $(seq 300); do ${written} && exit 0; sleep 0.1; done; exit 1`);
}
