/** The host's end of the agent's port. */
import { connect, type Socket } from 'node:net';
import { randomBytes } from 'node:crypto';
import type { Answer, Body } from '../agent/protocol';

/** Past the agent's own deadline, for a machine that is slow to answer. */
const GRACE_MS = 30_000;

interface Pending {
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}

export class AgentClient {
  private readonly pending = new Map<string, Pending>();
  private readonly prefix = randomBytes(4).toString('hex');
  private sent = 0;
  private rest = '';

  private constructor(private readonly socket: Socket) {
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => this.take(text));
    socket.on('error', () => this.fail());
    socket.on('close', () => this.fail());
  }

  /** @throws Error where QEMU does not listen (yet) */
  static connect(socketPath: string): Promise<AgentClient> {
    return new Promise((resolve, reject) => {
      const socket = connect(socketPath);
      socket.once('error', reject);
      socket.once('connect', () => {
        socket.removeListener('error', reject);
        resolve(new AgentClient(socket));
      });
    });
  }

  /** @throws Error where the machine is gone, or does not answer at all */
  ask(body: Body, timeoutMs: number): Promise<Answer> {
    const id = `${this.prefix}x${++this.sent}`;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.pending.delete(id);
        reject(new Error(`dom0's agent did not answer within ${timeoutMs + GRACE_MS} ms`));
      }, timeoutMs + GRACE_MS);
      this.pending.set(id, { resolve, reject, timer });
      this.socket.write(`${JSON.stringify({ ...body, id, timeoutMs })}\n`);
    });
  }

  close(): void {
    this.socket.destroy();
  }

  private take(text: string): void {
    const lines = (this.rest + text).split('\n');
    this.rest = lines.pop() ?? '';
    for (const line of lines) {
      const answer = JSON.parse(line) as Answer;
      const asked = this.pending.get(answer.id);
      if (asked === undefined) continue;
      this.pending.delete(answer.id);
      clearTimeout(asked.timer);
      asked.resolve(answer);
    }
  }

  private fail(): void {
    for (const { reject, timer } of this.pending.values()) {
      clearTimeout(timer);
      reject(new Error('the connection to dom0 ended'));
    }
    this.pending.clear();
  }
}
