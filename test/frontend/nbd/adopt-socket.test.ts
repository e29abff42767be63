/** What an adopted connection takes of replies at once. */
import { closeSync } from 'node:fs';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { adoptSocket } from '../../../lib/frontend/nbd/adopt-socket';
import { mapZeroed } from '../../../native-bindings/mapping';
import { duplicateDescriptor, PieceList } from '../../../native-bindings/stream-socket';
import { temporaryDirectory } from '../temporary-directory';

const PIECE_BYTES = 16 * 1024;

/** Bytes that a socket takes while nobody reads them. */
function fill(fd: number): number {
  const list = PieceList.create()!;
  const memory = mapZeroed(PIECE_BYTES);
  list.add(memory, 0, PIECE_BYTES);
  let total = 0;
  for (let sent = list.send(fd); sent > 0; sent = list.send(fd)) total += sent;
  memory.unmap();
  return total;
}

async function connect(listening: Server): Promise<{ client: Socket; accepted: Socket }> {
  const client = createConnection({ path: listening.address() as string });
  const [accepted] = (await once(listening, 'connection')) as [Socket];
  return { client, accepted };
}

test('the send buffer of a unix socket grows', async () => {
  const listening = createServer({ pauseOnConnect: true });
  await once(listening.listen(join(temporaryDirectory(), 'socket')), 'listening');
  const plain = await connect(listening);
  const plainFd = duplicateDescriptor(plain.accepted)!;
  const before = fill(plainFd);
  closeSync(plainFd);
  const { client, accepted } = await connect(listening);
  const adopted = adoptSocket(accepted)!;
  expect(fill(adopted.fd)).toBeGreaterThan(1.5 * before);
  for (const socket of [plain.client, plain.accepted, client, adopted.socket]) socket.destroy();
  listening.close();
});
