/** What host and agent say to each other over a virtio-serial port: one JSON object a line. */

/** Runs in dom0 by bash. */
export interface RunRequest {
  readonly kind: 'run';
  readonly command: string;
}

/** Runs in a guest by its console; `name` is the domain's, for the console's log. */
export interface GuestRequest {
  readonly kind: 'guest';
  readonly domid: number;
  readonly name: string;
  readonly command: string;
}

/** Answered once the guest's init takes commands. */
export interface ReadyRequest {
  readonly kind: 'ready';
  readonly name: string;
}

/** Writes a file of dom0, or appends to it. */
export interface PutRequest {
  readonly kind: 'put';
  readonly path: string;
  readonly base64: string;
  readonly append: boolean;
}

export type Body = RunRequest | GuestRequest | ReadyRequest | PutRequest;

export type Request = Body & {
  /** Unlike any other, of earlier connections too. */
  readonly id: string;
  /** After so long the answer is a failure that says so, and what was started in dom0 is killed. */
  readonly timeoutMs: number;
};

export interface Answer {
  readonly id: string;
  /** As a shell gives it; TIMED_OUT where the time was up. */
  readonly status: number;
  /** stdout and stderr as they came. */
  readonly output: string;
}

/** What timeout(1) ends with. */
export const TIMED_OUT = 124;

/** The port's name in /sys/class/virtio-ports; see qemu.ts. */
export const PORT_NAME = 'lab-agent';
