/** NBD servers of one test each, on unix sockets, that end in order when the test does. */
import { join } from 'node:path';
import type { TapdiskError } from '../../../lib/errors';
import type { NbdExport } from '../../../lib/frontend/nbd/export';
import type { ListenAddress } from '../../../lib/frontend/nbd/listen-address';
import { NbdServer, type NbdServerOptions } from '../../../lib/frontend/nbd/nbd-server';
import type { BlockAllocation } from '../../../lib/vbd/block-allocation';
import { FakeBlockDevice, type FakeBlockDeviceOptions } from '../fake-block-device';
import { temporaryDirectory } from '../temporary-directory';
import { NbdClient } from './nbd-client';

/** A device that ends requests when the test says so; nothing of it is a hole. */
export class TestDevice extends FakeBlockDevice implements BlockAllocation {
  constructor(options: FakeBlockDeviceOptions = {}) {
    super(options);
  }

  nextAllocatedSector(from: number): number {
    return from;
  }

  nextFreeSector(_from: number, end: number): number {
    return end;
  }
}

export interface TestServer {
  readonly server: NbdServer;
  readonly address: ListenAddress;
  /** Codes of the connections that failed. */
  readonly failures: string[];
  connect(): Promise<NbdClient>;
  go(setting?: Parameters<typeof NbdClient.go>[1]): Promise<NbdClient>;
}

/** Below jest's own, so that a failed test does not also say that its end was too slow. */
const CLOSE_TIMEOUT_MS = 1000;

let running: { server: NbdServer; clients: NbdClient[] }[] = [];

export async function serve(
  exports: NbdExport['device'] | Readonly<Record<string, NbdExport['device']>>,
  options: Partial<NbdServerOptions> = {},
): Promise<TestServer> {
  const named = 'acquire' in exports ? { 'pool/disk': exports as NbdExport['device'] } : exports;
  const failures: string[] = [];
  const address: ListenAddress = { kind: 'unix', path: join(temporaryDirectory(), 'nbd.sock') };
  const server = await NbdServer.listen([address], {
    exports: Object.entries(named).map(([name, device]) => ({
      name,
      description: `about ${name}`,
      device,
    })),
    tls: null,
    onConnectionFailed: (reason: TapdiskError) => failures.push(reason.code),
    ...options,
  });
  const clients: NbdClient[] = [];
  running.push({ server, clients });
  const keep = (client: NbdClient): NbdClient => {
    clients.push(client);
    return client;
  };
  return {
    server,
    address,
    failures,
    connect: async () => keep(await NbdClient.connect(address)),
    go: async (setting) => keep(await NbdClient.go(address, setting)),
  };
}

afterEach(async () => {
  const ending = running;
  running = [];
  for (const { server, clients } of ending) {
    for (const client of clients) client.destroy();
    await server.close(CLOSE_TIMEOUT_MS);
  }
});

/** Resolves when the condition holds; the test's own timeout is the deadline. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 1));
}
