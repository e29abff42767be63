/** Each call of each operation fails in each way, one at a time: the operation has its one effect. */
import type { EtcdAttachment } from '../../../lib/coordination/etcd/etcd-attachment';
import { FENCE_LOST, FENCE_OPEN } from '../../../lib/fence';
import { LATE, REFUSED, REPLY_LOST, REQUEST_LOST, type Fate } from '../../simulation/sim-etcd';
import { CHUNK, commit, loadEntries, READ, WRITE } from '../pool-under-test';
import { spoilCall, VirtualHosts, type Seat } from './virtual-hosts';

const FATES: [string, Fate][] = [
  ['is not sent', REFUSED],
  ['is lost', REQUEST_LOST],
  ['is done, and its reply lost', REPLY_LOST],
  ['is done a minute later', LATE],
  ['is done a second later, after the next attempt', { requestMs: 2500, replyMs: null }],
  ['is done twice', { requestMs: 0, replyMs: 0, againMs: 1 }],
  ['is done again much later', { requestMs: 0, replyMs: 0, againMs: 20_000 }],
];

interface Scene {
  readonly hosts: VirtualHosts;
  /** Whose calls are spoilt. */
  readonly a: Seat;
  readonly b: Seat;
  readonly uuid: string;
  readonly layer: number;
}

interface Scenario {
  /** Undisturbed. @returns what is done with calls spoilt, and then what must be true */
  prepare(scene: Scene): Promise<{ act(): Promise<unknown>; check(): Promise<void> }>;
}

const volume = { name: 'v', sizeBytes: 5000 * CHUNK, chunkBytes: CHUNK };

const attach = (scene: Scene, seat: Seat, mode = WRITE): Promise<EtcdAttachment> =>
  scene.hosts.resolve(seat.view.attach('v', mode));

/** It is served on: a commit reaches etcd. */
async function expectServed({ hosts, layer }: Scene, attachment: EtcdAttachment): Promise<void> {
  expect(attachment.fence.state()).toBe(FENCE_OPEN);
  expect(await hosts.resolve(commit(attachment, [{ chunk: 4321, layer }]))).toBe(0);
  expect(await hosts.resolve(loadEntries(attachment))).toContainEqual([4321, layer]);
}

const SCENARIOS: Record<string, Scenario> = {
  create: {
    async prepare({ hosts, a, b }) {
      return {
        act: () => a.view.create({ ...volume, name: 'w' }),
        async check() {
          const records = await hosts.resolve(b.view.list());
          expect(records.map(({ name }) => name)).toEqual(['v', 'w']);
          expect(new Set(records.map(({ layer }) => layer)).size).toBe(2);
        },
      };
    },
  },
  attach: {
    async prepare(scene) {
      let attachment: EtcdAttachment;
      return {
        act: async () => (attachment = await scene.a.view.attach('v', WRITE)),
        async check() {
          expect(attachment.uncleanBefore).toBe(false);
          expect(attachment.record.epoch).toBe(1);
          await expectServed(scene, attachment);
        },
      };
    },
  },
  'attach for reading': {
    async prepare(scene) {
      let attachment: EtcdAttachment;
      return {
        act: async () => (attachment = await scene.a.view.attach('v', READ)),
        async check() {
          expect(attachment.fence.state()).toBe(FENCE_OPEN);
          await scene.hosts.resolve(attachment.release());
          await scene.hosts.time.advance(120_000);
          expect((await attach(scene, scene.b)).record.epoch).toBe(1);
        },
      };
    },
  },
  'attach after an owner that died elsewhere': {
    async prepare(scene) {
      const old = await attach(scene, scene.b);
      await scene.hosts.resolve(commit(old, [{ chunk: 1, layer: scene.layer }]));
      scene.b.process.kill();
      await scene.hosts.time.advance(20_000);
      let attachment: EtcdAttachment;
      return {
        act: async () => (attachment = await scene.a.view.attach('v', WRITE)),
        async check() {
          expect(attachment.uncleanBefore).toBe(true);
          expect(scene.hosts.json(`state/${scene.uuid}`).unsettledMs).toBe(0);
          await expectServed(scene, attachment);
        },
      };
    },
  },
  steal: {
    async prepare(scene) {
      const old = await attach(scene, scene.b);
      let attachment: EtcdAttachment;
      return {
        act: async () =>
          (attachment = await scene.a.view.attach('v', { readOnly: false, steal: true })),
        async check() {
          expect(old.fence.state()).toBe(FENCE_LOST);
          await expectServed(scene, attachment);
        },
      };
    },
  },
  commit: {
    async prepare(scene) {
      const { hosts, layer } = scene;
      const attachment = await attach(scene, scene.a);
      const chunks = [0, 1023, 1024, 4999];
      return {
        async act() {
          expect(
            await commit(
              attachment,
              chunks.map((chunk) => ({ chunk, layer })),
            ),
          ).toBe(0);
          // What arrives late must not take this back.
          expect(await commit(attachment, [{ chunk: 1023, layer: 0 }])).toBe(0);
        },
        async check() {
          const expected = [0, 1024, 4999].map((chunk) => [chunk, layer]);
          expect(await hosts.resolve(loadEntries(attachment))).toEqual(expected);
          await expectServed(scene, attachment);
        },
      };
    },
  },
  'start a layer': {
    async prepare(scene) {
      const attachment = await attach(scene, scene.a);
      return {
        act: () => attachment.startLayer(),
        async check() {
          const { layer, frozenLayers } = await scene.hosts.resolve(scene.b.view.read('v'));
          expect(attachment.record).toMatchObject({ layer, frozenLayers });
          expect(frozenLayers).toEqual([scene.layer]);
          await expectServed({ ...scene, layer }, attachment);
        },
      };
    },
  },
  resize: {
    async prepare(scene) {
      const { hosts, layer } = scene;
      const attachment = await attach(scene, scene.a);
      await hosts.resolve(commit(attachment, [{ chunk: 4999, layer }]));
      const sizes = [6000 * CHUNK, 5500 * CHUNK + 512];
      return {
        async act() {
          for (const sizeBytes of sizes) await attachment.resize(sizeBytes);
          // Whatever arrives late of the first must not take the second back.
          expect(await commit(attachment, [{ chunk: 5500, layer }])).toBe(0);
        },
        async check() {
          const { sizeBytes } = await hosts.resolve(scene.b.view.read('v'));
          expect([attachment.record.sizeBytes, sizeBytes]).toEqual([sizes[1], sizes[1]]);
          expect(await hosts.resolve(loadEntries(attachment))).toEqual([
            [4999, layer],
            [5500, layer],
          ]);
          await expectServed(scene, attachment);
        },
      };
    },
  },
  release: {
    async prepare(scene) {
      const attachment = await attach(scene, scene.a);
      return {
        act: () => attachment.release(),
        async check() {
          const next = await attach(scene, scene.b);
          expect(next.uncleanBefore).toBe(false);
          expect(next.record.epoch).toBe(2);
          await expectServed(scene, next);
        },
      };
    },
  },
  'release after reading': {
    async prepare(scene) {
      const attachment = await attach(scene, scene.a, READ);
      return {
        act: () => attachment.release(),
        check: async () => expectServed(scene, await attach(scene, scene.b)),
      };
    },
  },
  'hand over': {
    async prepare(scene) {
      const { hosts, a, b } = scene;
      const attachment = await attach(scene, a);
      const standby = await hosts.resolve(b.view.standBy('v'));
      return {
        act: () => attachment.handOver(),
        async check() {
          const next = (await hosts.resolve(standby.attached)) as EtcdAttachment;
          expect(next.uncleanBefore).toBe(false);
          expect(next.record.epoch).toBe(2);
          expect(attachment.fence.state()).toBe(FENCE_LOST);
          await expectServed(scene, next);
        },
      };
    },
  },
  'stand by, and be handed the volume': {
    async prepare(scene) {
      const { hosts, a, b } = scene;
      const attachment = await attach(scene, b);
      let next: EtcdAttachment;
      return {
        async act() {
          const standby = await a.view.standBy('v');
          await attachment.handOver();
          next = (await standby.attached) as EtcdAttachment;
        },
        async check() {
          expect(next.uncleanBefore).toBe(false);
          expect(await hosts.resolve(b.view.standbys('v'))).toEqual([]);
          await expectServed(scene, next);
        },
      };
    },
  },
  'stand by, and take the volume when it is released': {
    async prepare(scene) {
      const attachment = await attach(scene, scene.b);
      let next: EtcdAttachment;
      return {
        async act() {
          const standby = await scene.a.view.standBy('v');
          await attachment.release();
          next = (await standby.attached) as EtcdAttachment;
        },
        async check() {
          expect(next.record.epoch).toBe(2);
          await expectServed(scene, next);
        },
      };
    },
  },
  'stand by, and give it up': {
    async prepare(scene) {
      const { hosts, a, b } = scene;
      const attachment = await attach(scene, b);
      return {
        act: async () => (await a.view.standBy('v')).cancel(),
        async check() {
          expect(await hosts.resolve(b.view.standbys('v'))).toEqual([]);
          await expectServed(scene, attachment);
        },
      };
    },
  },
  delete: {
    async prepare({ hosts, a, b, uuid, layer }) {
      return {
        act: async () => expect(await a.view.delete('v')).toEqual([layer]),
        async check() {
          const pending = await hosts.resolve(b.view.pendingDeletions());
          expect(pending.map((deletion) => deletion.uuid)).toEqual([uuid]);
          expect(hosts.keysBelow('map/')).toEqual([]);
        },
      };
    },
  },
  'delete, and make anew': {
    async prepare({ hosts, a, b, uuid }) {
      return {
        async act() {
          await a.view.delete('v');
          await a.view.finishDeletion(uuid);
          await a.view.create(volume);
        },
        async check() {
          expect((await hosts.resolve(b.view.read('v'))).uuid).not.toBe(uuid);
          expect((await hosts.resolve(b.view.names())).length).toBe(1);
        },
      };
    },
  },
};

describe.each(Object.entries(SCENARIOS))('%s', (name, scenario) => {
  it.each(FATES)('where a call %s', async (_how, fate) => {
    let spoilt = 0;
    for (let n = 1; ; n++) {
      const hosts = await VirtualHosts.make();
      const [a, b] = [hosts.seat('a'), hosts.seat('b')];
      const { uuid, layer } = await hosts.resolve(b.view.create(volume));
      const scene = { hosts, a, b, uuid, layer };
      const { act, check } = await scenario.prepare(scene);
      const spoiling = spoilCall(a.etcd, n, fate);
      try {
        await hosts.resolve(act());
        a.etcd.fault = null;
        if (!spoiling.happened) break;
        spoilt++;
        // For what arrives late, and for keepers to notice.
        await hosts.time.advance(90_000);
        await check();
      } catch (error) {
        throw new Error(`${name}: call ${n}: ${(error as Error).message}`, { cause: error });
      }
    }
    expect(spoilt).toBeGreaterThan(0);
  });
});
