/** How watches and engines go with the process: they keep it alive or do not, and end with it. */
import { runTypescript } from './run-typescript';

const WAYS: readonly (readonly [string, Record<string, string>])[] = [
  ['with the addon', {}],
  ['without the addon', { TAPDISK_TS_NO_ADDON: '1' }],
];

const OPEN = `
  const posix = require('./native-bindings/posix.ts');
  const { watchReadable } = require('./native-bindings/readiness.ts');
  const { writeNow } = require('./native-bindings/doorbell-io.ts');
  const ring = (fd) => writeNow(fd, new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0]));
  const fd = posix.eventfd();
`;
const GOOD = { exitCode: 0, signal: null, err: '' };

describe.each(WAYS)('%s', (_way, env) => {
  test('a process whose only watch does not keep it alive ends', () => {
    const script = `${OPEN} watchReadable(fd, () => undefined, { keepAlive: false });`;
    expect(runTypescript(script, { env })).toEqual({ ...GOOD, out: '' });
  });

  test('a watch that keeps the process alive is told of a later write', () => {
    const script = `${OPEN}
      const watch = watchReadable(fd, () => { watch.stop(); console.log('told'); });
      setTimeout(() => ring(fd), 300).unref();
    `;
    expect(runTypescript(script, { env })).toEqual({ ...GOOD, out: 'told\n' });
  });

  test('a watch that does not keep the process alive is told while something else does', () => {
    const script = `${OPEN}
      const timer = setTimeout(() => process.exit(3), 10000);
      watchReadable(fd, () => { clearTimeout(timer); console.log('told'); }, { keepAlive: false });
      setTimeout(() => ring(fd), 300);
    `;
    expect(runTypescript(script, { env })).toEqual({ ...GOOD, out: 'told\n' });
  });

  test('process.exit ends a process that watches', () => {
    const script = `${OPEN}
      watchReadable(fd, () => undefined);
      setTimeout(() => process.exit(7), 50);
    `;
    expect(runTypescript(script, { env })).toEqual({ ...GOOD, exitCode: 7, out: '' });
  });

  test('what a call back throws is an uncaught exception, and the watch goes on', () => {
    const script = `${OPEN}
      let calls = 0;
      process.on('uncaughtException', (error) => { console.log(error.message); ring(fd); });
      const watch = watchReadable(fd, () => {
        if (++calls === 2) return watch.stop();
        throw new Error('thrown inside');
      });
      ring(fd);
    `;
    expect(runTypescript(script, { env })).toEqual({ ...GOOD, out: 'thrown inside\n' });
  });

  test('an idle engine does not keep the process alive, a busy one does', () => {
    const script = `
      const { openIoEngine } = require('./native-bindings/open-engine.ts');
      const fd = require('node:fs').openSync('package.json');
      const engine = openIoEngine((token, result) => console.log(token, result > 0), () => {});
      engine.read(fd, { bytes: Buffer.alloc(64), address: 0 }, 0, 64, 0, 5);
      engine.submit();
    `;
    expect(runTypescript(script, { env })).toEqual({ ...GOOD, out: '5 true\n' });
  });
});

test('a worker thread that watches through the addon can be ended', () => {
  const script = `
    const { Worker } = require('node:worker_threads');
    const { addon } = require('./native-bindings/addon.ts');
    addon();
    const worker = new Worker(
      \`const { parentPort, workerData } = require('node:worker_threads');
       const addon = require(workerData);
       const fd = addon.eventfd();
       addon.watchEdge(fd, () => parentPort.postMessage('told'));
       addon.write(fd, new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0]));\`,
      { eval: true, workerData: process.cwd() + '/native-bindings/addon/build/Release/tapdisk_native.node' },
    );
    worker.on('message', (text) => { console.log(text); void worker.terminate(); });
  `;
  expect(runTypescript(script)).toEqual({ ...GOOD, out: 'told\n' });
});

test('ffi-napi is refused in a worker thread, whose end would crash the process', () => {
  const script = `
    const { Worker } = require('node:worker_threads');
    const worker = new Worker(process._eval.split('/* worker */')[0] + \`
      try { require('./native-bindings/posix.ts').eventfd(); }
      catch (error) { require('node:worker_threads').parentPort.postMessage(error.code); }
    \`, { eval: true });
    worker.on('message', (code) => console.log(code));
  `;
  const end = runTypescript(`/* worker */ ${script}`);
  expect(end).toEqual({ ...GOOD, out: 'FFI_MAIN_THREAD_ONLY\n' });
});
