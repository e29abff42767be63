/** Which files an io_uring's table takes, and that operations go by it. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { URING_REGISTERED_FILES_MAX } from '../../native-bindings/limits';
import { openIoEngine } from '../../native-bindings/open-engine';
import { UringFiles } from '../../native-bindings/uring-files';
import {
  REGISTER_FILES2,
  REGISTER_FILES_UPDATE,
  SQE_FIXED_FILE,
} from '../../native-bindings/uring-layout';
import { requireAddon } from './require-addon';
import { temporaryDirectory } from './temporary-directory';

/** The addon with a kernel that answers as told. */
function tableWith(answer: (opcode: number) => number): UringFiles {
  return new UringFiles({ ...requireAddon(), ringRegister: (_fd, opcode) => answer(opcode) }, 1);
}

const taken = (opcode: number): number => (opcode === REGISTER_FILES_UPDATE ? 1 : 0);

test('a registered file is marked until it is unregistered', () => {
  const table = tableWith(taken);
  table.register(7);
  expect(table.flagOf(7)).toBe(SQE_FIXED_FILE);
  expect(table.flagOf(8)).toBe(0);
  table.unregister(7);
  expect(table.flagOf(7)).toBe(0);
});

test('descriptors beyond the table stay unregistered', () => {
  const table = tableWith(taken);
  table.register(URING_REGISTERED_FILES_MAX);
  table.register(URING_REGISTERED_FILES_MAX - 1);
  expect(table.flagOf(URING_REGISTERED_FILES_MAX)).toBe(0);
  expect(table.flagOf(URING_REGISTERED_FILES_MAX - 1)).toBe(SQE_FIXED_FILE);
  table.unregister(URING_REGISTERED_FILES_MAX);
});

test.each([
  ['the table', REGISTER_FILES2, -24],
  ['the file', REGISTER_FILES_UPDATE, -9],
  ['the file silently', REGISTER_FILES_UPDATE, 0],
])('where the kernel refuses %s, the file stays unregistered', (_what, refused, result) => {
  const table = tableWith((opcode) => (opcode === refused ? result : taken(opcode)));
  table.register(7);
  expect(table.flagOf(7)).toBe(0);
});

test('a file whose number is another one now is registered anew', () => {
  const answers = [0, 1, -9];
  const table = tableWith(() => answers.shift()!);
  table.register(7);
  table.register(7);
  expect(table.flagOf(7)).toBe(0);
});

const directory = temporaryDirectory();

test('operations go to the file in the slot, whatever the descriptor has become', async () => {
  const ignore = (): void => undefined;
  const engine = openIoEngine(ignore, ignore, 'io_uring');
  if (engine.kind !== 'io_uring') {
    console.warn(`not tried: ${engine.reason}`);
    return engine.close();
  }
  const paths = ['one', 'two'].map((name) => join(directory, name));
  const fd = fs.openSync(paths[0], 'w+');
  engine.registerFile(fd);
  fs.closeSync(fd);
  expect(fs.openSync(paths[1], 'w+')).toBe(fd);
  const memory = { bytes: Buffer.from('text'), address: 0 };
  const write = async (): Promise<void> => {
    engine.write(fd, memory, 0, 4, 0, 0);
    engine.submit();
    while (engine.inFlight > 0) await new Promise(setImmediate);
  };
  await write();
  expect(fs.readFileSync(paths[0], 'latin1')).toBe('text');
  expect(fs.readFileSync(paths[1], 'latin1')).toBe('');
  engine.unregisterFile(fd);
  await write();
  expect(fs.readFileSync(paths[1], 'latin1')).toBe('text');
  engine.close();
  fs.closeSync(fd);
});
