/** Bugs that stores and maps could have, as wrappers around the sound doubles. */
import { SECTOR_BYTES } from '../../../lib/sector';
import { CHUNK_WRITE, type ChunkIo } from '../../../lib/store/chunk-io';
import type { ChunkStore } from '../../../lib/store/chunk-store';
import type { Wrappers } from './random-disk';

/** Everything else goes to the one that is wrapped, assignments too. */
function overriding<Wrapped extends object>(wrapped: Wrapped, parts: Partial<Wrapped>): Wrapped {
  return new Proxy(wrapped, {
    get(target, name): unknown {
      const value: unknown = Reflect.get(name in parts ? parts : target, name);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}

/** Answers outside the schedule. */
function soon(store: ChunkStore, answer: () => void): void {
  setImmediate(() => {
    answer();
    store.onBatchEnd();
  });
}

export const PLANTED_BUGS: Readonly<Record<string, Wrappers>> = {
  'a sync that does nothing': {
    store: (store) => overriding(store, { sync: (done) => soon(store, () => done(0)) }),
  },
  'a sync that answers first and begins later, so that the map comes before the data': {
    store: (store) =>
      overriding(store, {
        sync: (done) => soon(store, () => (done(0), setImmediate(() => store.sync(() => {})))),
      }),
  },
  'a chunk that is not punched before it is used': {
    store: (store) =>
      overriding(store, {
        punch: (layer, chunk, offset, length, done) => {
          if (length === store.chunkBytes) soon(store, () => done(0));
          else store.punch(layer, chunk, offset, length, done);
        },
      }),
  },
  'a punch that takes a sector too many': {
    store: (store) =>
      overriding(store, {
        punch: (layer, chunk, offset, length, done) => {
          const more = offset + length < store.chunkBytes ? SECTOR_BYTES : 0;
          store.punch(layer, chunk, offset, length + more, done);
        },
      }),
  },
  'one write in twenty that is answered and not done': {
    store: (store) => {
      let writes = 0;
      return overriding(store, {
        submit: (io: ChunkIo) => {
          if (io.operation !== CHUNK_WRITE || ++writes % 20 !== 0) return store.submit(io);
          io.errno = 0;
          soon(store, () => io.owner.chunkIoDone(io));
        },
      });
    },
  },
  'a killed process whose writes nobody syncs': {
    store: (store) => overriding(store, { settleLayer: async () => {} }),
  },
  'a map whose sync does nothing': {
    map: (map) => overriding(map, { sync: (done) => setImmediate(() => done(0)) }),
  },
  'a map that forgets the last entry of each commit': {
    map: (map) =>
      overriding(map, { commit: (entries, done) => map.commit(entries.slice(0, -1), done) }),
  },
  'a map that answers a commit before it is made': {
    map: (map) =>
      overriding(map, {
        commit: (entries, done) => {
          map.commit(entries, () => {});
          setImmediate(() => done(0));
        },
      }),
  },
};
