/** How clients and the server come to terms, byte by byte. */
import { Negotiation } from '../../../lib/frontend/nbd/negotiation';
import { memoryDisk } from './memory-disk';
import { infoQuery, metaQuery, OPT, optionRequest, REP, u32 } from './nbd-client';
import { serve } from './test-server';

const SIZE = 1 << 20;
const MIB_HEX = '0000000000100000';
/** has flags, flush, FUA, trim, write zeroes, multi-conn, cache, fast zero */
const FLAGS_HEX = '0d6d';
/** The same with "do not fragment". */
const FLAGS_STRUCTURED_HEX = '0ded';
const FLAGS_READ_ONLY_HEX = '050f';

const types = (replies: readonly { type: number }[]): number[] => replies.map(({ type }) => type);

test('the greeting is that of fixed newstyle', async () => {
  const { connect } = await serve(await memoryDisk(SIZE));
  const client = await connect();
  expect((await client.read(18)).toString('latin1')).toBe('NBDMAGICIHAVEOPT\0\x03');
});

describe('EXPORT_NAME', () => {
  test('is answered by size, flags and zeroes', async () => {
    const { connect } = await serve(await memoryDisk(SIZE));
    const client = await connect();
    await client.greet(1);
    client.send(optionRequest(OPT.EXPORT_NAME, Buffer.from('pool/disk')));
    const reply = await client.read(134);
    expect(reply.toString('hex')).toBe(MIB_HEX + FLAGS_HEX + '00'.repeat(124));
    expect((await client.readData(0, 512)).length).toBe(512);
  });

  test('is answered without zeroes where both sides do without', async () => {
    const { connect } = await serve(await memoryDisk(SIZE));
    const client = await connect();
    await client.greet(3);
    client.send(optionRequest(OPT.EXPORT_NAME, Buffer.alloc(0)));
    expect((await client.read(10)).toString('hex')).toBe(MIB_HEX + FLAGS_HEX);
    await client.readData(0, 512);
    expect(client.unread).toBe(0);
  });

  test('ends the connection where there is no such export', async () => {
    const { connect, failures } = await serve(await memoryDisk(SIZE));
    const client = await connect();
    await client.greet();
    client.send(optionRequest(OPT.EXPORT_NAME, Buffer.from('pool/other')));
    await client.closed;
    expect(failures).toEqual(['NBD_PROTOCOL']);
  });
});

describe('GO and INFO', () => {
  test('tell size and flags, and what else was asked for', async () => {
    const { connect } = await serve(await memoryDisk(SIZE));
    const client = await connect();
    await client.greet();
    const replies = await client.option(OPT.INFO, infoQuery('pool/disk', [1, 2, 3, 77]));
    expect(types(replies)).toEqual([REP.INFO, REP.INFO, REP.INFO, REP.INFO, REP.ACK]);
    expect(replies.slice(0, 4).map(({ data }) => data.toString('latin1'))).toEqual([
      Buffer.from(`0000${MIB_HEX}${FLAGS_HEX}`, 'hex').toString('latin1'),
      '\0\x01pool/disk',
      '\0\x02about pool/disk',
      // At least 512 bytes, best 4096, at most 32 MiB.
      '\0\x03\0\0\x02\0\0\0\x10\0\x02\0\0\0',
    ]);
    expect(types(await client.option(OPT.GO, infoQuery('', [])))).toEqual([REP.INFO, REP.ACK]);
    expect((await client.readData(0, 512)).length).toBe(512);
  });

  test('say that an export is read-only', async () => {
    const { connect } = await serve(await memoryDisk(SIZE, true));
    const client = await connect();
    await client.greet();
    const [info] = await client.option(OPT.INFO, infoQuery('', []));
    expect(info.data.toString('hex')).toBe(`0000${MIB_HEX}${FLAGS_READ_ONLY_HEX}`);
  });

  test('offer DF only with structured replies', async () => {
    const { connect } = await serve(await memoryDisk(SIZE));
    const client = await connect();
    await client.greet();
    await client.option(OPT.STRUCTURED_REPLY);
    const [info] = await client.option(OPT.INFO, infoQuery('', []));
    expect(info.data.toString('hex')).toBe(`0000${MIB_HEX}${FLAGS_STRUCTURED_HEX}`);
  });

  test('refuse an unknown name, and go on', async () => {
    const { connect } = await serve(await memoryDisk(SIZE));
    const client = await connect();
    await client.greet();
    const [refusal] = await client.option(OPT.GO, infoQuery('pool/other', []));
    expect(refusal.type).toBe(REP.ERR_UNKNOWN);
    expect(refusal.data.toString()).toBe('there is no export "pool/other"');
    await client.choose();
    await client.readData(0, 512);
  });

  test.each([
    ['a name longer than the data', Buffer.concat([u32(100), Buffer.from('short')])],
    ['more types than are there', Buffer.from('000000000003000100', 'hex')],
    ['bytes after the types', Buffer.from('0000000000000001', 'hex')],
    ['no data at all', Buffer.alloc(0)],
    ['a name with a NUL in it', infoQuery('a\0b', [])],
    ['a name beyond 4096 bytes', infoQuery('n'.repeat(4097), [])],
  ])('refuse %s', async (_what, data) => {
    const { connect } = await serve(await memoryDisk(SIZE));
    const client = await connect();
    await client.greet();
    expect(types(await client.option(OPT.GO, data))).toEqual([REP.ERR_INVALID]);
    await client.choose();
  });
});

describe('several exports', () => {
  test('are listed, and chosen by their names alone', async () => {
    const a = await memoryDisk(SIZE);
    const b = await memoryDisk(2 * SIZE);
    const { connect } = await serve({ 'pool/a': a, 'pool/b': b });
    const client = await connect();
    await client.greet();
    const listed = await client.option(OPT.LIST);
    expect(listed.map(({ type, data }) => [type, data.toString('latin1')])).toEqual([
      [REP.SERVER, '\0\0\0\x06pool/aabout pool/a'],
      [REP.SERVER, '\0\0\0\x06pool/babout pool/b'],
      [REP.ACK, ''],
    ]);
    expect(types(await client.option(OPT.GO, infoQuery('', [])))).toEqual([REP.ERR_UNKNOWN]);
    const [info] = await client.option(OPT.GO, infoQuery('pool/b', []));
    expect(info.data.readBigUInt64BE(2)).toBe(BigInt(2 * SIZE));
    await client.writeData(SIZE, Buffer.alloc(512, 'b'));
    const other = await connect();
    await other.greet();
    await other.choose({ name: 'pool/a' });
    expect((await other.request({ command: 0, offset: SIZE, length: 512 })).error).toBe(22);
  });
});

describe('other options', () => {
  test('ABORT is acknowledged, and ends the connection', async () => {
    const { connect, failures } = await serve(await memoryDisk(SIZE));
    const client = await connect();
    await client.greet();
    expect(types(await client.option(OPT.ABORT))).toEqual([REP.ACK]);
    await client.closed;
    expect(failures).toEqual([]);
  });

  test.each([4, 11, 12345, 0, 0xffffffff])('unknown option %i is said to be so', async (option) => {
    const { connect } = await serve(await memoryDisk(SIZE));
    const client = await connect();
    await client.greet();
    expect(types(await client.option(option, Buffer.alloc(100)))).toEqual([REP.ERR_UNSUP]);
    await client.choose();
  });

  test.each([OPT.LIST, OPT.STRUCTURED_REPLY])('option %i takes no data', async (option) => {
    const { connect } = await serve(await memoryDisk(SIZE));
    const client = await connect();
    await client.greet();
    expect(types(await client.option(option, Buffer.alloc(1)))).toEqual([REP.ERR_INVALID]);
  });

  test('STARTTLS is refused by a server without TLS', async () => {
    const { connect } = await serve(await memoryDisk(SIZE));
    const client = await connect();
    await client.greet();
    expect(types(await client.option(OPT.STARTTLS))).toEqual([REP.ERR_POLICY]);
    await client.choose();
  });
});

describe('metadata contexts', () => {
  test('need structured replies', async () => {
    const { connect } = await serve(await memoryDisk(SIZE));
    const client = await connect();
    await client.greet();
    const query = metaQuery('', ['base:allocation']);
    expect(types(await client.option(OPT.SET_META_CONTEXT, query))).toEqual([REP.ERR_INVALID]);
  });

  test.each<[string, number, string[], string[]]>([
    ['all are listed', OPT.LIST_META_CONTEXT, [], ['\0\0\0\0base:allocation']],
    ['a name space is listed', OPT.LIST_META_CONTEXT, ['base:'], ['\0\0\0\0base:allocation']],
    ['one is selected', OPT.SET_META_CONTEXT, ['base:allocation'], ['\0\0\0\x01base:allocation']],
    ['unknown ones are passed over', OPT.SET_META_CONTEXT, ['qemu:dirty', 'x-a:b'], []],
    ['none is selected by default', OPT.SET_META_CONTEXT, [], []],
  ])('%s', async (_what, option, queries, contexts) => {
    const { connect } = await serve(await memoryDisk(SIZE));
    const client = await connect();
    await client.greet();
    await client.option(OPT.STRUCTURED_REPLY);
    const replies = await client.option(option, metaQuery('', queries));
    expect(types(replies)).toEqual([...contexts.map(() => REP.META_CONTEXT), REP.ACK]);
    expect(replies.slice(0, -1).map(({ data }) => data.toString('latin1'))).toEqual(contexts);
  });

  test.each([
    ['four thousand million queries', Buffer.concat([u32(0), u32(0xffffffff)])],
    ['a query longer than the data', Buffer.concat([u32(0), u32(1), u32(50), Buffer.from('x')])],
    ['bytes after the queries', Buffer.concat([metaQuery('', []), u32(0)])],
  ])('%s are refused', async (_what, data) => {
    const { connect } = await serve(await memoryDisk(SIZE));
    const client = await connect();
    await client.greet();
    await client.option(OPT.STRUCTURED_REPLY);
    expect(types(await client.option(OPT.SET_META_CONTEXT, data))).toEqual([REP.ERR_INVALID]);
  });

  test('count for the export for which they were selected', async () => {
    const a = await memoryDisk(SIZE);
    const b = await memoryDisk(SIZE);
    const { connect } = await serve({ 'pool/a': a, 'pool/b': b });
    const client = await connect();
    await client.greet();
    await client.option(OPT.STRUCTURED_REPLY);
    await client.option(OPT.SET_META_CONTEXT, metaQuery('pool/a', ['base:allocation']));
    await client.choose({ name: 'pool/b' });
    expect((await client.request({ command: 7, offset: 0, length: 512 })).error).toBe(22);
  });
});

test('it does not matter in which pieces the bytes come', async () => {
  const device = await memoryDisk(SIZE);
  const bytes = Buffer.concat([
    u32(3),
    optionRequest(OPT.STRUCTURED_REPLY, Buffer.alloc(0)),
    optionRequest(99, Buffer.alloc(7)),
    optionRequest(OPT.SET_META_CONTEXT, metaQuery('d', ['base:allocation'])),
    optionRequest(OPT.GO, infoQuery('d', [3])),
    Buffer.from('first request'),
  ]);
  const run = (pieces: readonly Buffer[]) => {
    const sent: Buffer[] = [];
    const exports = [{ name: 'd', description: '', device }];
    const negotiation = new Negotiation({ exports, tls: 'none', send: (m) => sent.push(m) });
    for (const [index, piece] of pieces.entries()) {
      const state = negotiation.receive(piece);
      if (typeof state !== 'string') {
        const rest = Buffer.concat([state.rest, ...pieces.slice(index + 1)]).toString();
        const { structured, blockStatus } = state;
        return { rest, structured, blockStatus, sent: Buffer.concat(sent).toString('hex') };
      }
    }
    return null;
  };
  const whole = run([bytes]);
  expect(whole).toMatchObject({ rest: 'first request', structured: true, blockStatus: true });
  for (let at = 1; at < bytes.length; at++) {
    expect(run([bytes.subarray(0, at), bytes.subarray(at)])).toEqual(whole);
  }
  expect(run([...bytes].map((byte) => Buffer.from([byte])))).toEqual(whole);
});
