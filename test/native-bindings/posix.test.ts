/** The system calls: their results, their errors, and offsets beyond 32 bits. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import * as posix from '../../native-bindings/posix';
import { thrownBy } from './thrown-by';
import { temporaryDirectory } from './temporary-directory';

const TEBIBYTE = 2 ** 40;
const directory = temporaryDirectory();

describe('open and close', () => {
  test('open creates a file with the mode given, and close ends it', () => {
    const path = join(directory, 'created');
    const fd = posix.open(path, posix.O_CREAT | posix.O_RDWR, 0o400);
    expect(fs.fstatSync(fd).mode & 0o777).toBe(0o400);
    posix.close(fd);
    expect(() => fs.fstatSync(fd)).toThrow('EBADF');
  });

  test('an opened file is not inherited by children', () => {
    const fd = posix.open(join(directory, 'private'), posix.O_CREAT | posix.O_RDWR);
    const flags = /flags:\s*(\d+)/.exec(fs.readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'));
    expect(parseInt(flags![1], 8) & posix.O_CLOEXEC).toBe(posix.O_CLOEXEC);
    posix.close(fd);
  });

  test('a missing file is an ENOENT that names call and path', () => {
    const error = thrownBy(() => posix.open('/no/such/device', posix.O_RDWR));
    expect(error).toBeInstanceOf(posix.SystemCallError);
    expect(error).toMatchObject({
      code: 'ENOENT',
      errno: 2,
      syscall: 'open',
      path: '/no/such/device',
      message: "ENOENT: no such file or directory, open '/no/such/device'",
    });
  });

  test('closing a file that is not open is an EBADF', () => {
    expect(thrownBy(() => posix.close(123456))).toMatchObject({ code: 'EBADF', syscall: 'close' });
  });
});

describe('ioctl', () => {
  const FIONREAD = 0x541b;

  test('fills the buffer given', () => {
    const path = join(directory, 'counted');
    posix.mkfifo(path);
    const fd = posix.open(path, posix.O_RDWR | posix.O_NONBLOCK);
    fs.writeSync(fd, 'seven!!');
    const count = Buffer.alloc(4);
    expect(posix.ioctl(fd, FIONREAD, count)).toBe(0);
    expect(count.readInt32LE()).toBe(7);
    posix.close(fd);
  });

  test('passes a number by value', () => {
    const fd = posix.eventfd();
    const FIOCLEX = 0x5451;
    expect(posix.ioctl(fd, FIOCLEX, 0)).toBe(0);
    expect(thrownBy(() => posix.ioctl(fd, 1, 2 ** 40))).toMatchObject({ code: 'ENOTTY' });
    posix.close(fd);
  });
});

describe('flock', () => {
  test('a lock held by another open file is refused at once, and free when that is closed', () => {
    const path = join(directory, 'locked');
    const first = posix.open(path, posix.O_CREAT | posix.O_RDWR);
    const second = posix.open(path, posix.O_RDWR);
    posix.flock(first, posix.LOCK_EX | posix.LOCK_NB);
    const error = thrownBy(() => posix.flock(second, posix.LOCK_EX | posix.LOCK_NB));
    expect(error).toMatchObject({ code: 'EAGAIN', syscall: 'flock' });
    posix.close(first);
    posix.flock(second, posix.LOCK_EX | posix.LOCK_NB);
    posix.close(second);
  });
});

describe('mkfifo', () => {
  test('makes a FIFO, and refuses a name that is taken', () => {
    const path = join(directory, 'fifo');
    posix.mkfifo(path);
    expect(fs.statSync(path).isFIFO()).toBe(true);
    expect(fs.statSync(path).mode & 0o777).toBe(0o600);
    expect(thrownBy(() => posix.mkfifo(path))).toMatchObject({ code: 'EEXIST', path });
  });
});

describe('large files', () => {
  const at = 5 * TEBIBYTE + 4096 * 3;
  const path = join(directory, 'sparse');
  let fd: number;

  beforeAll(() => {
    fd = posix.open(path, posix.O_CREAT | posix.O_RDWR);
    fs.writeSync(fd, Buffer.alloc(8192, 0x5a), 0, 8192, at);
  });
  afterAll(() => posix.close(fd));

  test('lseek finds data and hole at 5 TiB', () => {
    expect(posix.lseek(fd, 0, posix.SEEK_DATA)).toBe(at);
    expect(posix.lseek(fd, at, posix.SEEK_HOLE)).toBe(at + 8192);
    expect(posix.lseek(fd, 0, posix.SEEK_END)).toBe(at + 8192);
    expect(thrownBy(() => posix.lseek(fd, at + 8192, posix.SEEK_DATA))).toMatchObject({
      code: 'ENXIO',
      errno: 6,
    });
  });

  test('punchHole gives blocks back at 5 TiB and keeps the size', () => {
    posix.punchHole(fd, at, 4096);
    expect(posix.lseek(fd, 0, posix.SEEK_DATA)).toBe(at + 4096);
    expect(fs.fstatSync(fd).size).toBe(at + 8192);
    const bytes = Buffer.alloc(8192);
    fs.readSync(fd, bytes, 0, 8192, at);
    expect(bytes.subarray(0, 4096)).toEqual(Buffer.alloc(4096));
    expect(bytes.subarray(4096)).toEqual(Buffer.alloc(4096, 0x5a));
  });

  test('preallocate takes blocks at 6 TiB and keeps the size', () => {
    const before = fs.fstatSync(fd).blocks;
    posix.preallocate(fd, 6 * TEBIBYTE, 65536);
    expect(fs.fstatSync(fd).blocks - before).toBeGreaterThanOrEqual(128);
    expect(fs.fstatSync(fd).size).toBe(at + 8192);
  });

  test('an offset that no integer holds exactly never reaches the kernel', () => {
    expect(() => posix.punchHole(fd, 2 ** 53, 4096)).toThrow('safe integer');
    expect(() => posix.punchHole(fd, -4096, 4096)).toThrow('safe integer');
  });
});

describe('poll and epoll', () => {
  test('poll sees what there is to read, and nothing else', () => {
    const fd = posix.eventfd();
    expect(posix.poll(fd, posix.POLLIN, 0)).toBe(0);
    fs.writeSync(fd, new BigUint64Array([1n]));
    expect(posix.poll(fd, posix.POLLIN, 0)).toBe(posix.POLLIN);
    posix.close(fd);
    expect(posix.poll(fd, posix.POLLIN, 0)).toBe(posix.POLLNVAL);
  });

  test('epoll names the file that is readable, once an edge', () => {
    const epollFd = posix.epollCreate();
    const quiet = posix.eventfd();
    const loud = posix.eventfd();
    const edge = posix.POLLIN | posix.EPOLLET;
    posix.epollControl(epollFd, posix.EPOLL_CTL_ADD, quiet, edge);
    posix.epollControl(epollFd, posix.EPOLL_CTL_ADD, loud, edge);
    const events = posix.epollEvents(4);
    expect(posix.epollWait(epollFd, events, 0)).toBe(0);
    fs.writeSync(loud, new BigUint64Array([1n]));
    expect(posix.epollWait(epollFd, events, 0)).toBe(1);
    expect(posix.epollEventFd(events, 0)).toBe(loud);
    expect(posix.epollWait(epollFd, events, 0)).toBe(0);
    posix.epollControl(epollFd, posix.EPOLL_CTL_DEL, loud);
    fs.writeSync(loud, new BigUint64Array([1n]));
    expect(posix.epollWait(epollFd, events, 0)).toBe(0);
    for (const fd of [epollFd, quiet, loud]) posix.close(fd);
  });
});
