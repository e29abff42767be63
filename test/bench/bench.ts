/**
 * Ring throughput and latency, beside fio with io_uring on the file that holds the same chunks.
 *
 * Our runs and fio's alternate; figures are medians of ROUNDS runs of DURATION_MS each.
 */
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { join } from 'node:path';
import { PROJECT_ROOT } from '../project-root';
import { TapdiskUnderTest } from '../e2e/tapdisk-under-test';
import { runFio } from './fio';
import { printTable, rowsAsJson, type Row } from './report';
import { RingLoad } from './ring-load';
import { nameOfLoad, type Load, type Sample } from './sample';

const ROUNDS = Number(process.env.ROUNDS ?? 3);
const DURATION_MS = Number(process.env.DURATION_MS ?? 1500);
const DISK_BYTES = Number(process.env.DISK_BYTES ?? 2 ** 30);
/** Where the pool lies: the device that is measured. */
const BELOW = process.env.BENCH_DIR ?? join(PROJECT_ROOT, '.bench');
const SECTOR_BYTES = 512;
const CHUNK_BYTES = 4 * 2 ** 20;
const KIB = 1024;

const LOADS: readonly Load[] = [4 * KIB, 44 * KIB].flatMap((blockBytes) =>
  [1, 32].flatMap((depth) =>
    (['read', 'write'] as const).map((operation) => ({
      operation,
      pattern: blockBytes === 4 * KIB ? ('random' as const) : ('sequential' as const),
      blockBytes,
      depth,
      direct: true,
    })),
  ),
);

function say(text: string): void {
  process.stdout.write(text);
}

/** A served volume whose every chunk was written once. */
async function prepare(storeKind: string): Promise<{ tapdisk: TapdiskUnderTest; load: RingLoad }> {
  const tapdisk = await TapdiskUnderTest.create({
    sizeBytes: DISK_BYTES,
    chunkBytes: CHUNK_BYTES,
    storeKind,
    below: BELOW,
  });
  await tapdisk.start();
  const load = new RingLoad(DISK_BYTES / SECTOR_BYTES);
  await load.open(tapdisk.deviceDirectory);
  await load.fill(tapdisk.pid);
  return { tapdisk, load };
}

/** The one extent file of the volume's layer. */
function extentFileOf(tapdisk: TapdiskUnderTest): string {
  const layers = join(tapdisk.poolDirectory, 'layers');
  const [layer] = readdirSync(layers);
  const [extent] = readdirSync(join(layers, layer));
  return join(layers, layer, extent);
}

async function main(): Promise<void> {
  mkdirSync(BELOW, { recursive: true });
  say(
    `${cpus().length} × ${cpus()[0].model.trim()}, Linux ${release()}, Node ${process.version}; ` +
      `volume ${DISK_BYTES / 2 ** 20} MiB, chunks ${CHUNK_BYTES / 2 ** 20} MiB, ` +
      `medians of ${ROUNDS} runs of ${DURATION_MS} ms in alternation\n`,
  );
  const nothing = await prepare('null');
  const directory = await prepare('dir');
  const file = extentFileOf(directory.tapdisk);
  const rows: Row[] = [];
  for (const load of LOADS) {
    const [onNull, onDir, byFio]: Sample[][] = [[], [], []];
    for (let round = 0; round < ROUNDS; round++) {
      onNull.push(await nothing.load.run(load, DURATION_MS, nothing.tapdisk.pid));
      onDir.push(await directory.load.run(load, DURATION_MS, directory.tapdisk.pid));
      byFio.push(await runFio(load, file, DISK_BYTES, DURATION_MS));
    }
    const name = nameOfLoad(load);
    rows.push({
      load: name,
      ours: { name: 'null store', samples: onNull },
      peer: null,
      goal: null,
    });
    rows.push({
      load: name,
      ours: { name: 'dir store', samples: onDir },
      peer: { name: 'fio io_uring', samples: byFio },
      goal: null,
    });
    say(`  ${name}\n`);
  }
  printTable(rows, say);
  const results = join(BELOW, 'results.json');
  writeFileSync(results, JSON.stringify(rowsAsJson(rows), null, 2));
  say(`also in ${results}\n`);
  for (const { tapdisk, load } of [nothing, directory]) {
    load.close();
    await tapdisk.stop();
    tapdisk.remove();
  }
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    say(
      `bench failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
    );
    process.exit(1);
  },
);
