/** A message of OpenXT's kernel that cannot be answered. */
import { BlktapFrontend } from '../../lib/frontend/blktap/blktap-frontend';
import type { TapdiskError } from '../../lib/errors';
import { FakeBlockDevice } from './fake-block-device';
import { FakeKernel } from './fake-kernel';

const MESSAGE_PAUSE = 1;
const IOCTL_PAUSE_ACKNOWLEDGED = 204;

test('a pause that the kernel does not take is told of', async () => {
  const kernel = new FakeKernel('openxt');
  const stopped = new Promise<TapdiskError>((resolve) => {
    const events = { onStopped: resolve, onCloseAsked: () => undefined };
    const frontend = BlktapFrontend.open(kernel.path, new FakeBlockDevice(), events, kernel);
    frontend.start();
  });
  const answer = kernel.ioctl.bind(kernel);
  kernel.ioctl = (fd, request, value) => {
    if (request === IOCTL_PAUSE_ACKNOWLEDGED) throw new Error('EIO: i/o error, ioctl');
    return answer(fd, request, value);
  };
  kernel.sendMessage(MESSAGE_PAUSE);
  expect(await stopped).toMatchObject({
    code: 'BLKTAP_MESSAGE_FAILED',
    message: expect.stringContaining(`${kernel.path} could not be followed: EIO`) as string,
  });
  expect(kernel.traps).toEqual([]);
});
