/** Which memory areas an io_uring's registration table takes. */
import { URING_REGISTERED_AREAS_MAX } from '../../native-bindings/limits';
import { UNREGISTERED, UringMemory } from '../../native-bindings/uring-memory';
import { requireAddon } from './require-addon';

const SUPPORTED = 0;
const area = (address: number) => ({ bytes: Buffer.alloc(16), address });

/** The addon with a kernel that answers as told. */
function tableWith(answer: (opcode: number) => number): UringMemory {
  return new UringMemory({ ...requireAddon(), ringRegister: (_fd, opcode) => answer(opcode) }, 1);
}

test('registered areas have an index of their own, until they are unregistered', () => {
  const table = tableWith(() => SUPPORTED);
  const areas = [area(4096), area(8192)];
  for (const each of areas) table.register(each);
  const indices = areas.map((each) => table.indexOf(each));
  expect(new Set(indices).size).toBe(2);
  expect(indices).not.toContain(UNREGISTERED);
  table.unregister(areas[0]);
  expect(table.indexOf(areas[0])).toBe(UNREGISTERED);
  expect(table.indexOf(areas[1])).toBe(indices[1]);
  table.register(areas[0]);
  expect(table.indexOf(areas[0])).toBe(indices[0]);
});

test('heap memory, and areas beyond the table, stay unregistered', () => {
  const table = tableWith(() => SUPPORTED);
  const heap = area(0);
  table.register(heap);
  expect(table.indexOf(heap)).toBe(UNREGISTERED);
  const areas = Array.from({ length: URING_REGISTERED_AREAS_MAX + 1 }, (_, i) =>
    area(4096 * (i + 1)),
  );
  for (const each of areas) table.register(each);
  expect(table.indexOf(areas[URING_REGISTERED_AREAS_MAX - 1])).not.toBe(UNREGISTERED);
  expect(table.indexOf(areas[URING_REGISTERED_AREAS_MAX])).toBe(UNREGISTERED);
});

test.each([
  ['the table', 15],
  ['the area', 16],
])('where the kernel refuses %s, the area stays unregistered', (_what, refused) => {
  const table = tableWith((opcode) => (opcode === refused ? -12 : SUPPORTED));
  const memory = area(4096);
  table.register(memory);
  expect(table.indexOf(memory)).toBe(UNREGISTERED);
  table.unregister(memory);
});
