/** A back end in a process of its own, whose disk is a file that outlives it. */
import { Child } from './child-process';

/** Prints 'serving' once it is there; `delayMs`: each batch of requests ends that much later. */
export function startBackEnd(directory: string, diskPath: string, delayMs = 0): Child {
  return new Child(`
    const fs = require('node:fs');
    const posix = require('./native-bindings/posix.ts');
    const { mapShared } = require('./native-bindings/mapping.ts');
    const { ShmFrontend } = require('./lib/frontend/shm/shm-frontend.ts');
    const { FakeBlockDevice } = require('./test/frontend/fake-block-device.ts');
    const delayMs = ${delayMs};
    const diskPath = ${JSON.stringify(diskPath)};
    const device = new FakeBlockDevice({ manual: delayMs > 0 });
    const size = device.disk.length;
    if (!fs.existsSync(diskPath)) { fs.writeFileSync(diskPath, ''); fs.truncateSync(diskPath, size); }
    device.disk = mapShared(posix.open(diskPath, posix.O_RDWR), size).bytes;
    if (delayMs > 0) setInterval(() => {
      // Latest first, and not all at once: out of order, as disks answer.
      for (const request of device.waiting.slice(-3).reverse()) device.complete(request);
    }, delayMs);
    const frontend = ShmFrontend.open(${JSON.stringify(directory)}, device, {
      onStopped: (reason) => console.log('stopped ' + reason.code),
      onCloseAsked() {},
    });
    frontend.start();
    console.log('serving');
    process.on('SIGTERM', () => frontend.close().then(() => process.exit(0)));
  `);
}
