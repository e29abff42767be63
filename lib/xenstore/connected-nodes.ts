/** Reads and changes nodes over a connection, outside or inside one transaction. */
import type { XenStoreConnection } from './connection';
import { LIST_PARTS_MAX, LIST_RESTARTS_MAX } from './limits';
import { checkPath } from './path';
import { decodeStrings, encodeStrings, XS } from './wire';
import { XenStoreError } from './xenstore-error';
import type { XenStoreNodes } from './xenstore';

export class ConnectedNodes implements XenStoreNodes {
  constructor(
    private readonly connection: XenStoreConnection,
    /** 0: at once. */
    private readonly transactionId: number,
  ) {}

  async read(path: string): Promise<string | undefined> {
    const value = await unlessMissing(this.ask(XS.READ, 'read', path));
    return value?.toString('utf8');
  }

  async list(path: string): Promise<string[] | undefined> {
    try {
      const names = await unlessMissing(this.ask(XS.DIRECTORY, 'list', path));
      return names === undefined ? undefined : decodeStrings(names);
    } catch (error) {
      if (!isErrno(error, 'E2BIG')) throw error;
      return unlessMissing(this.listInParts(path));
    }
  }

  async write(path: string, value: string): Promise<void> {
    const payload = Buffer.concat([encodeStrings(path), Buffer.from(value)]);
    await this.ask(XS.WRITE, 'write', path, payload);
  }

  async mkdir(path: string): Promise<void> {
    await this.ask(XS.MKDIR, 'make', path);
  }

  async remove(path: string): Promise<void> {
    await unlessMissing(this.ask(XS.RM, 'remove', path));
  }

  async permissions(path: string): Promise<string[]> {
    return decodeStrings(await this.ask(XS.GET_PERMS, 'read the permissions of', path));
  }

  async setPermissions(path: string, permissions: readonly string[]): Promise<void> {
    const payload = encodeStrings(path, ...permissions);
    await this.ask(XS.SET_PERMS, 'set the permissions of', path, payload);
  }

  /**
   * DIRECTORY_PART: each answer begins with the generation of the node's list, and the last ends
   * with an empty name. A list that changed meanwhile is read from its beginning.
   */
  private async listInParts(path: string): Promise<string[]> {
    for (let restarts = 0; restarts <= LIST_RESTARTS_MAX; restarts++) {
      const names = await this.listOnce(path);
      if (names !== null) return names;
    }
    throw new XenStoreError(
      'XENSTORE_REFUSED',
      `xenstore cannot list ${path}: its children change all the time.`,
      'EAGAIN',
      { transient: true },
    );
  }

  private async listOnce(path: string): Promise<string[] | null> {
    let listed = '';
    let generation: string | undefined;
    for (let parts = 0; parts < LIST_PARTS_MAX; parts++) {
      const payload = encodeStrings(path, String(Buffer.byteLength(listed)));
      const part = (await this.ask(XS.DIRECTORY_PART, 'list', path, payload)).toString('utf8');
      const end = part.indexOf('\0');
      const found = part.slice(0, end);
      if (generation !== undefined && generation !== found) return null;
      generation = found;
      const names = part.slice(end + 1);
      const isLast = names === '\0' || names === '' || names.endsWith('\0\0');
      listed += isLast ? names.slice(0, -1) : names;
      if (isLast) return listed === '' ? [] : listed.slice(0, -1).split('\0');
    }
    throw new XenStoreError('XENSTORE_REFUSED', `xenstore lists too much in ${path}.`, 'E2BIG');
  }

  private async ask(
    type: number,
    verb: string,
    path: string,
    payload = encodeStrings(path),
  ): Promise<Buffer> {
    checkPath(path);
    const { transactionId } = this;
    return this.connection.ask({ type, transactionId, payload, verb, path });
  }
}

async function unlessMissing<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}

function isErrno(error: unknown, errno: string): boolean {
  return error instanceof XenStoreError && error.errno === errno;
}
