/** What a connection keeps to on a transport like the kernel's device, which takes one message at a time. */
import { XenStoreConnection } from '../../lib/xenstore/connection';
import type { Transport, TransportEvents } from '../../lib/xenstore/transport';
import { encodeStrings, encodeXsMessage, XS, XsMessageReader } from '../../lib/xenstore/wire';
import { XenStoreClient } from '../../lib/xenstore/xenstore-client';

const MESSAGE_BYTES_MAX = 4096;

class Device implements Transport {
  readonly path = '/dev/xen/xenbus';
  readonly messageBytesMax = MESSAGE_BYTES_MAX;
  readonly takesSeveral = false;
  /** "type path" of everything that was sent. */
  readonly sent: string[] = [];
  private readonly ids: number[] = [];
  private events: TransportEvents | null = null;

  start(events: TransportEvents): void {
    this.events = events;
  }

  send(message: Buffer): void {
    expect(message.length).toBeLessThanOrEqual(MESSAGE_BYTES_MAX);
    for (const { type, requestId, payload } of new XsMessageReader().push(message) ?? []) {
      this.sent.push(`${type} ${payload.toString('latin1').split('\0')[0]}`);
      this.ids.push(requestId);
    }
  }

  close(): void {
    this.events = null;
  }

  /** The answer to the nth message that was sent. */
  answer(index: number, type: number, text: string): void {
    this.say(type, this.ids[index], Buffer.from(text));
  }

  /** As Linux 6.1 does: the event's id is none of the client's, and may be anything. */
  fire(path: string, token: string, requestId: number): void {
    this.say(XS.WATCH_EVENT, requestId, encodeStrings(path, token));
  }

  private say(type: number, requestId: number, payload: Buffer): void {
    this.events?.bytes(encodeXsMessage({ type, requestId, transactionId: 0, payload }));
  }
}

let device: Device;
const open = (answerTimeoutMs?: number): XenStoreClient =>
  new XenStoreClient(new XenStoreConnection(device, () => undefined, answerTimeoutMs));

beforeEach(() => {
  device = new Device();
});

test('the next message waits for the answer, whatever fires meanwhile', async () => {
  const store = open();
  const changes: string[] = [];
  const watched = store.watch('/a', (changed) => changes.push(changed));
  const read = store.read('/b');
  const other = store.read('/c');
  expect(device.sent).toEqual([`${XS.WATCH} /a`]);
  device.fire('/a', 'w1', 1);
  expect(device.sent).toHaveLength(1);
  expect(changes).toEqual(['/a']);
  device.answer(0, XS.WATCH, 'OK\0');
  await watched;
  expect(device.sent).toEqual([`${XS.WATCH} /a`, `${XS.READ} /b`]);
  device.answer(1, XS.ERROR, 'ENOENT\0');
  expect(await read).toBeUndefined();
  device.answer(2, XS.READ, 'there');
  expect(await other).toBe('there');
});

test('an answer that is late is still waited for, and what was given up meanwhile is not sent', async () => {
  const store = open(1);
  await expect(store.read('/slow')).rejects.toMatchObject({ code: 'XENSTORE_TIMEOUT' });
  await expect(store.read('/given-up')).rejects.toMatchObject({ code: 'XENSTORE_TIMEOUT' });
  expect(device.sent).toEqual([`${XS.READ} /slow`]);
  const next = store.read('/next');
  device.answer(0, XS.READ, 'late');
  expect(device.sent).toEqual([`${XS.READ} /slow`, `${XS.READ} /next`]);
  device.answer(1, XS.READ, 'now');
  expect(await next).toBe('now');
});

test('header and value together fit the message', async () => {
  const store = open();
  const room = MESSAGE_BYTES_MAX - 16 - '/a\0'.length;
  const fits = store.write('/a', 'x'.repeat(room));
  device.answer(0, XS.WRITE, 'OK\0');
  await fits;
  await expect(store.write('/a', 'x'.repeat(room + 1))).rejects.toMatchObject({
    code: 'XENSTORE_VALUE_TOO_LONG',
  });
});

test('what waits for its turn ends with the connection', async () => {
  const store = open();
  const waiting = [store.read('/a'), store.read('/b')];
  store.close();
  for (const one of waiting) await expect(one).rejects.toMatchObject({ code: 'XENSTORE_LOST' });
  expect(device.sent).toEqual([`${XS.READ} /a`]);
});
