/** The rooms' import direction: what may know of what (docs/architecture.md has the picture). */
const everyRoom = [
  'ring',
  'frontend',
  'vbd',
  'volume',
  'store',
  'coordination',
  'etcd',
  'xenstore',
  'host',
  'control',
  'trace',
  'pool',
  'tapdisk',
  'cli',
];

/** For each room, the rooms of lib/ that it may import from; `native` is native-bindings/. */
const mayImport = {
  ring: [],
  etcd: ['native'],
  xenstore: ['native'],
  store: ['etcd', 'native'],
  coordination: ['store', 'etcd', 'native'],
  volume: ['store', 'coordination'],
  vbd: ['volume', 'store', 'coordination'],
  control: ['native'],
  frontend: ['ring', 'vbd', 'store', 'xenstore', 'native'],
  trace: ['ring', 'vbd', 'store', 'frontend'],
  host: ['control', 'pool', 'xenstore', 'tapdisk', 'native'],
  pool: ['coordination', 'store', 'etcd', 'native'],
  tapdisk: [
    'control',
    'etcd',
    'frontend',
    'pool',
    'trace',
    'vbd',
    'volume',
    'store',
    'coordination',
    'native',
  ],
  cli: everyRoom.concat('native'),
};

const pathOf = (room) => (room === 'native' ? '^native-bindings/' : `^lib/${room}/`);

/** lib/volume and lib/vbd see of these rooms only what needs no device, network or FFI. */
const interfacesOnly = {
  store: '^lib/store/(chunk-io|chunk-store|fenced-store|io-queue|limits|memory-area)\\.ts$',
  coordination: '^lib/coordination/(coordination|volume-record)\\.ts$',
};

module.exports = {
  forbidden: [
    ...Object.entries(mayImport).map(([room, allowed]) => ({
      name: `room-${room}`,
      severity: 'error',
      from: { path: `^lib/${room}/` },
      to: {
        path: everyRoom.concat('native').map(pathOf),
        pathNot: [room, ...allowed].map(pathOf),
      },
    })),
    {
      name: 'pure-rooms',
      comment: 'lib/volume and lib/vbd run without a device, a network or FFI',
      severity: 'error',
      from: { path: '^lib/(volume|vbd)/' },
      to: { path: '^lib/(store|coordination)/', pathNot: Object.values(interfacesOnly) },
    },
    {
      name: 'pure-ring',
      comment: 'lib/ring does no I/O',
      severity: 'error',
      from: { path: '^lib/(ring|vbd|volume)/' },
      to: { dependencyTypes: ['core', 'npm'], pathNot: '^(node:)?(buffer|events|util)$' },
    },
    {
      name: 'no-circular',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'not-to-test',
      severity: 'error',
      from: { path: '^(lib|native-bindings)/' },
      to: { path: '^test/' },
    },
    {
      name: 'native-knows-no-rooms',
      severity: 'error',
      from: { path: '^native-bindings/' },
      to: { path: '^lib/', pathNot: '^lib/(errors|assert)\\.ts$' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '(^dist/|addon/build/)' },
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
  },
};
