/** What the project needs of xenstore, Xen's small shared tree of configuration and states. */

/**
 * Reading and changing nodes, at once or inside a transaction.
 *
 * A path is absolute (`/local/domain/5/device`) or relative to this domain's own directory
 * (`backend/vbd/5/51712`). Every call ends by its deadline.
 *
 * @throws XenStoreError XENSTORE_REFUSED with the errno that xenstored gave, XENSTORE_TIMEOUT,
 * XENSTORE_LOST, XENSTORE_BUSY, XENSTORE_PATH_REFUSED, XENSTORE_VALUE_TOO_LONG
 */
export interface XenStoreNodes {
  /** The value as text; undefined where there is no such node. */
  read(path: string): Promise<string | undefined>;
  /** Names of the node's children, in xenstored's order; undefined where there is no such node. */
  list(path: string): Promise<string[] | undefined>;
  /** Makes the node, and those above it, where they are missing. */
  write(path: string, value: string): Promise<void>;
  /** Makes an empty node; one that is there stays as it is. */
  mkdir(path: string): Promise<void>;
  /** Removes the node and all below it; it is no error where there is none. */
  remove(path: string): Promise<void>;
  /** As xenstore writes them: the owner first (`n0`), then what others may (`r5`, `w5`, `b5`). */
  permissions(path: string): Promise<string[]>;
  setPermissions(path: string, permissions: readonly string[]): Promise<void>;
}

/** A watch that is set; it goes on until it is stopped or the connection ends. */
export interface XenStoreWatch {
  /** No call comes after this returned; resolves when xenstored has forgotten the watch. */
  stop(): Promise<void>;
}

/** One connection to xenstored. */
export interface XenStore extends XenStoreNodes {
  /**
   * Runs `body` in a transaction and commits it; aborts where `body` rejects. Where another client
   * changed a node that `body` looked at, all is done again, a bounded number of times.
   *
   * @throws XenStoreError XENSTORE_CONFLICT when that number is used up
   */
  transaction<T>(body: (inside: XenStoreNodes) => Promise<T>): Promise<T>;
  /**
   * Calls back with the path of each change at or below `path`, spelt as `path` is (relative where
   * that is); first, once, with `path` itself. The special paths @introduceDomain and
   * @releaseDomain tell of domains. Resolves when the watch is set; the first call may come before.
   */
  watch(path: string, onChange: (changed: string) => void): Promise<XenStoreWatch>;
  /** False where the domain is gone, or was never told to xenstored; a dead one that is kept is there. */
  domainExists(domid: number): Promise<boolean>;
  /** Ends the connection and with it all watches; what is pending rejects with XENSTORE_LOST. */
  close(): void;
}
