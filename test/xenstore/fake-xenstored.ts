/**
 * A xenstored for tests: speaks the wire protocol over a unix socket and keeps its tree in memory.
 *
 * Permissions are kept and not enforced: every client is dom0. The test itself is one more client,
 * through the methods, which act at once and fire the watches of the others.
 */
import { rmSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { NodeTree } from './node-tree';
import {
  decodeStrings,
  encodeStrings,
  encodeXsMessage,
  XS,
  XsMessageReader,
  type XsMessage,
} from '../../lib/xenstore/wire';

const PAYLOAD_BYTES_MAX = 4096;
/** The directory that relative paths are below, for clients of the socket as for dom0's kernel. */
const OWN_DIRECTORY = '/local/domain/0';

interface Client {
  readonly socket: net.Socket;
  readonly watches: { path: string; token: string }[];
  readonly transactions: Map<number, Transaction>;
}

interface Transaction {
  readonly tree: NodeTree;
  /** As it was at the beginning. */
  readonly base: NodeTree;
  /** Generation of each node at its first use; -1 where there was none. */
  readonly seen: Map<string, number>;
  readonly changes: Change[];
}

type Change =
  | { kind: 'write'; path: string; value: Buffer }
  | { kind: 'mkdir'; path: string }
  | { kind: 'remove'; path: string }
  | { kind: 'permissions'; path: string; permissions: string[] };

class Refusal extends Error {}

export class FakeXenstored {
  private readonly clients = new Set<Client>();
  private readonly tree = new NodeTree();
  private readonly refusals = new Map<string, string>();
  private readonly domains = new Set([0]);
  private lastTransactionId = 0;
  /** Answers that are kept back while it is set: a xenstored that hangs. */
  hangs = false;
  /** How many requests of each type it has got, by the type's number. */
  readonly requests = new Map<number, number>();

  private constructor(
    /** Of its socket, for XENSTORED_PATH. */
    readonly path: string,
    private readonly server: net.Server,
  ) {
    server.on('connection', (socket) => this.accept(socket));
  }

  /** Listens on `directory`/xenstored. */
  static async listen(directory: string): Promise<FakeXenstored> {
    const socketPath = path.join(directory, 'xenstored');
    const server = net.createServer();
    const fake = new FakeXenstored(socketPath, server);
    await new Promise<void>((resolve) => server.listen(socketPath, resolve));
    return fake;
  }

  async close(): Promise<void> {
    this.dropClients();
    await new Promise((resolve) => this.server.close(resolve));
    rmSync(this.path, { force: true });
  }

  /** Ends every connection, as a xenstored that dies. */
  dropClients(): void {
    for (const { socket } of this.clients) socket.destroy();
    this.clients.clear();
  }

  /** Watches set now, by their paths as they were given. */
  get watched(): string[] {
    return [...this.clients].flatMap(({ watches }) => watches.map(({ path: at }) => at));
  }

  read(at: string): string | undefined {
    return this.tree.find(absolute(at))?.value.toString('utf8');
  }

  list(at: string): string[] | undefined {
    const node = this.tree.find(absolute(at));
    return node === undefined ? undefined : [...node.children.keys()];
  }

  permissions(at: string): string[] | undefined {
    return this.tree.find(absolute(at))?.permissions;
  }

  write(at: string, value: string): void {
    this.apply([{ kind: 'write', path: absolute(at), value: Buffer.from(value) }]);
  }

  /** Several nodes below `at`, each with its watches' events, in order. */
  writeAll(at: string, nodes: Readonly<Record<string, string>>): void {
    for (const [name, value] of Object.entries(nodes)) this.write(`${at}/${name}`, value);
  }

  /** The node, with those above it; one that is there stays as it is. */
  mkdir(at: string): void {
    this.apply([{ kind: 'mkdir', path: absolute(at) }]);
  }

  remove(at: string): void {
    this.apply([{ kind: 'remove', path: absolute(at) }]);
  }

  introduceDomain(domid?: number): void {
    if (domid !== undefined) this.domains.add(domid);
    this.tell('@introduceDomain', []);
  }

  releaseDomain(domid?: number): void {
    if (domid !== undefined) this.domains.delete(domid);
    this.tell('@releaseDomain', []);
  }

  /** Requests that name exactly this path are refused with `errno`; null: no more. */
  refuse(at: string, errno: string | null): void {
    if (errno === null) this.refusals.delete(absolute(at));
    else this.refusals.set(absolute(at), errno);
  }

  private accept(socket: net.Socket): void {
    const client: Client = { socket, watches: [], transactions: new Map() };
    const reader = new XsMessageReader();
    this.clients.add(client);
    socket.on('error', () => undefined);
    socket.on('close', () => this.clients.delete(client));
    socket.on('data', (chunk) => {
      const messages = reader.push(chunk);
      if (messages === null) socket.destroy();
      else for (const message of messages) this.serve(client, message);
    });
  }

  private serve(client: Client, message: XsMessage): void {
    this.requests.set(message.type, (this.requests.get(message.type) ?? 0) + 1);
    if (this.hangs) return;
    let after: (() => void) | undefined;
    const reply = (payload: Buffer, type = message.type): void => {
      client.socket.write(encodeXsMessage({ ...message, type, payload }));
    };
    try {
      reply(this.answer(client, message, (then) => (after = then)));
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      reply(encodeStrings(error.message), XS.ERROR);
    }
    after?.();
  }

  /** `then`: what is done once the answer is sent, such as a watch's first event. */
  private answer(client: Client, message: XsMessage, then: (act: () => void) => void): Buffer {
    const { type, transactionId, payload } = message;
    const transaction = transactionId === 0 ? null : client.transactions.get(transactionId);
    if (transaction === undefined) throw new Refusal('ENOENT');
    if (type === XS.TRANSACTION_START) return this.begin(client);
    if (type === XS.TRANSACTION_END) {
      client.transactions.delete(transactionId);
      if (payload.toString('latin1') === 'T\0') this.commit(transaction, then);
      return OK;
    }
    const [given, ...rest] = decodeStrings(payload);
    if (type === XS.IS_DOMAIN_INTRODUCED) {
      return encodeStrings(this.domains.has(Number(given)) ? 'T' : 'F');
    }
    const at = absolute(given);
    if (this.refusals.has(at)) throw new Refusal(this.refusals.get(at));
    if (type === XS.WATCH || type === XS.UNWATCH) {
      return this.watch(client, type, given, rest[0], then);
    }
    const tree = transaction?.tree ?? this.tree;
    const node = tree.find(at);
    transaction?.seen.set(at, transaction.base.find(at)?.generation ?? -1);
    const change = changeOf(type, at, payload, rest);
    if (change !== null) {
      if (change.kind !== 'write' && change.kind !== 'mkdir' && node === undefined) {
        throw new Refusal('ENOENT');
      }
      if (transaction !== null) {
        applyTo(tree, change);
        transaction.changes.push(change);
      } else then(() => this.apply([change]));
      return OK;
    }
    if (node === undefined) throw new Refusal('ENOENT');
    const children = encodeStrings(...node.children.keys());
    if (type === XS.READ) return node.value;
    if (type === XS.GET_PERMS) return encodeStrings(...node.permissions);
    if (type === XS.DIRECTORY) {
      if (children.length > PAYLOAD_BYTES_MAX) throw new Refusal('E2BIG');
      return children;
    }
    if (type === XS.DIRECTORY_PART) return partOf(children, Number(rest[0]), node.generation);
    throw new Refusal('ENOSYS');
  }

  private begin(client: Client): Buffer {
    const id = ++this.lastTransactionId;
    const [tree, base] = [this.tree.copy(), this.tree.copy()];
    client.transactions.set(id, { tree, base, seen: new Map(), changes: [] });
    return encodeStrings(String(id));
  }

  private commit(transaction: Transaction | null, then: (act: () => void) => void): void {
    if (transaction === null) throw new Refusal('ENOENT');
    for (const [at, generation] of transaction.seen) {
      if ((this.tree.find(at)?.generation ?? -1) !== generation) throw new Refusal('EAGAIN');
    }
    then(() => this.apply(transaction.changes));
  }

  private watch(
    client: Client,
    type: number,
    at: string,
    token: string,
    then: (act: () => void) => void,
  ): Buffer {
    const index = client.watches.findIndex((set) => set.path === at && set.token === token);
    if (type === XS.UNWATCH) {
      if (index < 0) throw new Refusal('ENOENT');
      client.watches.splice(index, 1);
      return OK;
    }
    if (index >= 0) throw new Refusal('EEXIST');
    client.watches.push({ path: at, token });
    then(() => sendEvent(client, at, token));
    return OK;
  }

  private apply(changes: readonly Change[]): void {
    for (const change of changes) {
      const gone = applyTo(this.tree, change);
      if (change.kind !== 'remove' || gone.length > 0) this.tell(change.path, gone);
    }
  }

  /** To watches at and above `changed`; and, where nodes are gone, to those on one of these. */
  private tell(changed: string, gone: readonly string[]): void {
    for (const client of this.clients) {
      for (const { path: at, token } of client.watches) {
        const root = absolute(at);
        if (changed === root || changed.startsWith(root === '/' ? '/' : `${root}/`)) {
          sendEvent(client, at + changed.slice(root.length), token);
        } else if (gone.includes(root)) sendEvent(client, at, token);
      }
    }
  }
}

const OK = encodeStrings('OK');

function absolute(at: string): string {
  return at.startsWith('/') || at.startsWith('@') ? at : `${OWN_DIRECTORY}/${at}`;
}

function sendEvent({ socket }: Client, changed: string, token: string): void {
  const payload = encodeStrings(changed, token);
  socket.write(encodeXsMessage({ type: XS.WATCH_EVENT, requestId: 0, transactionId: 0, payload }));
}

function changeOf(type: number, at: string, payload: Buffer, permissions: string[]): Change | null {
  switch (type) {
    case XS.WRITE:
      return { kind: 'write', path: at, value: payload.subarray(payload.indexOf(0) + 1) };
    case XS.MKDIR:
      return { kind: 'mkdir', path: at };
    case XS.RM:
      return { kind: 'remove', path: at };
    case XS.SET_PERMS:
      return { kind: 'permissions', path: at, permissions };
    default:
      return null;
  }
}

/** Paths that are gone by it. */
function applyTo(tree: NodeTree, change: Change): string[] {
  if (change.kind === 'remove') return tree.remove(change.path);
  if (change.kind === 'write') tree.write(change.path, change.value);
  else if (change.kind === 'mkdir') tree.make(change.path);
  else {
    const node = tree.make(change.path);
    node.permissions = change.permissions;
    NodeTree.touch(node);
  }
  return [];
}

function partOf(children: Buffer, offset: number, generation: number): Buffer {
  const head = encodeStrings(String(generation));
  const room = PAYLOAD_BYTES_MAX - head.length - 1;
  if (children.length - offset <= room) {
    return Buffer.concat([head, children.subarray(offset), Buffer.from([0])]);
  }
  const end = children.lastIndexOf(0, offset + room - 1) + 1;
  return Buffer.concat([head, children.subarray(offset, end)]);
}
