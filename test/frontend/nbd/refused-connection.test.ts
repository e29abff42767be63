/** A process that has no descriptor left for one more client. */
import { adoptSocket } from '../../../lib/frontend/nbd/adopt-socket';
import { serve, TestDevice } from './test-server';

jest.mock('../../../lib/frontend/nbd/adopt-socket', () => ({ adoptSocket: jest.fn(() => null) }));

test('it hangs up on that client, and serves the others', async () => {
  const server = await serve(new TestDevice());
  const earlier = await server.go();
  jest.mocked(adoptSocket).mockImplementationOnce(() => {
    throw new Error('EMFILE: too many open files, fcntl');
  });
  const refused = await server.connect();
  await refused.closed;
  expect(server.failures).toEqual(['NBD_CONNECTION_REFUSED']);
  for (const client of [earlier, await server.go()]) {
    expect((await client.readData(0, 512)).length).toBe(512);
  }
});
