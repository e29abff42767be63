/** The peer in C on a ring of its own: it serves the very file that holds our volume's chunks. */
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { ShmDevice } from '../../lib/frontend/shm/shm-device';
import type { ShmGeometry } from '../../lib/frontend/shm/shm-geometry';
import { cProgram } from './c-programs';
import { LineChild } from './child';
import { untilUndone } from './left-behind';
import type { Load, Path } from './load';
import { layMemory, type MemoryLayout } from './memory-layout';
import { RingClient } from './ring-client';
import type { Sample } from './sample';
import { DISK_BYTES, DURATION_MS, MEMORY_DIRECTORY, SECTOR_BYTES } from './settings';

export class CBackEnd {
  private constructor(
    private readonly directory: string,
    private readonly forget: () => void,
    private readonly server: LineChild,
    private readonly client: RingClient,
  ) {}

  static async start(
    file: string,
    geometry: ShmGeometry,
    path: Path,
    memory: MemoryLayout = 'gathered',
  ): Promise<CBackEnd> {
    const directory = mkdtempSync(join(MEMORY_DIRECTORY, 'tapdisk-ts-c-'));
    const forget = untilUndone(() => rmSync(directory, { recursive: true, force: true }));
    const device = join(directory, 'ring');
    ShmDevice.create(device, geometry);
    layMemory(join(device, 'ring'), memory);
    const sectors = String(DISK_BYTES / SECTOR_BYTES);
    const server = new LineChild(cProgram('back-end'), [device, file, sectors, path]);
    await server.answer();
    return new CBackEnd(directory, forget, server, await RingClient.open(device));
  }

  run(load: Load): Promise<Sample> {
    return this.client.run(load, DURATION_MS, this.server.pid);
  }

  async stop(): Promise<void> {
    await this.client.close();
    await this.server.stop();
    rmSync(this.directory, { recursive: true, force: true });
    this.forget();
  }
}
