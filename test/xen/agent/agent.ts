/** Runs in dom0: does what the host asks for over the virtio-serial port (see protocol.ts). */
import { spawn } from 'node:child_process';
import {
  appendFileSync,
  openSync,
  read,
  readFileSync,
  readdirSync,
  write,
  writeFileSync,
} from 'node:fs';
import { guestReady, runInGuest } from './guest-console';
import { type Answer, PORT_NAME, type Request, TIMED_OUT } from './protocol';

/** What a command prints beyond this is left out of the answer. */
const OUTPUT_BYTES_MAX = 4 * 1024 * 1024;
const READ_BYTES = 64 * 1024;
/** While nobody is connected, the port reads as ended. */
const NOBODY_MS = 50;

type Outcome = Omit<Answer, 'id'>;

function runHere(command: string, timeoutMs: number): Promise<Outcome> {
  const child = spawn('bash', ['-c', command], {
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const parts: Buffer[] = [];
  let bytes = 0;
  const keep = (data: Buffer): void => {
    bytes += data.length;
    if (bytes <= OUTPUT_BYTES_MAX) parts.push(data);
  };
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  const output = (): string => Buffer.concat(parts).toString('utf8');
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
      resolve({ status: TIMED_OUT, output: `${output()}\nnot ended after ${timeoutMs} ms` });
    }, timeoutMs);
    // 'exit', not 'close': what the command left in the background may hold its output open.
    child.once('exit', (code) => {
      clearTimeout(timer);
      setImmediate(() => resolve({ status: code ?? 128, output: output() }));
    });
  });
}

async function doAsAsked(request: Request): Promise<Outcome> {
  const { timeoutMs } = request;
  switch (request.kind) {
    case 'run':
      return runHere(request.command, timeoutMs);
    case 'put':
      (request.append ? appendFileSync : writeFileSync)(
        request.path,
        Buffer.from(request.base64, 'base64'),
      );
      return { status: 0, output: '' };
    case 'ready':
      return { status: (await guestReady(request.name, timeoutMs)) ? 0 : TIMED_OUT, output: '' };
    case 'guest': {
      const { domid, name, id, command } = request;
      const answer = await runInGuest(domid, name, id, command, timeoutMs);
      return answer ?? { status: TIMED_OUT, output: `no answer from ${name} in ${timeoutMs} ms` };
    }
  }
}

function openPort(): number {
  const ports = '/sys/class/virtio-ports';
  for (const port of readdirSync(ports)) {
    if (readFileSync(`${ports}/${port}/name`, 'utf8').trim() === PORT_NAME) {
      return openSync(`/dev/${port}`, 'r+');
    }
  }
  throw new Error(`no virtio port is named ${PORT_NAME}`);
}

function serve(): void {
  const port = openPort();
  let sending = Promise.resolve();
  const send = (answer: Answer): void => {
    const line = Buffer.from(`${JSON.stringify(answer)}\n`);
    sending = sending.then(() => writeAll(port, line));
  };
  const take = (line: string): void => {
    let request: Request;
    try {
      request = JSON.parse(Buffer.from(line, 'latin1').toString('utf8')) as Request;
    } catch {
      return; // The rest of what a host said that has gone.
    }
    doAsAsked(request).then(
      (outcome) => send({ id: request.id, ...outcome }),
      (error: unknown) => send({ id: request.id, status: 1, output: String(error) }),
    );
  };
  readLines(port, take);
}

function readLines(port: number, take: (line: string) => void): void {
  const buffer = Buffer.alloc(READ_BYTES);
  let rest = '';
  const next = (): void => {
    read(port, buffer, 0, READ_BYTES, null, (error, count) => {
      if (error || count === 0) {
        rest = '';
        setTimeout(next, NOBODY_MS);
        return;
      }
      const lines = (rest + buffer.toString('latin1', 0, count)).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) if (line !== '') take(line);
      next();
    });
  };
  next();
}

/** What nobody is there to read is dropped. */
function writeAll(port: number, data: Buffer): Promise<void> {
  return new Promise((resolve) => {
    const next = (at: number): void => {
      write(port, data, at, data.length - at, null, (error, count) => {
        if (error || at + count === data.length) resolve();
        else next(at + count);
      });
    };
    next(0);
  });
}

serve();
