/**
 * A state of the protocol's model: what etcd holds, what each process knows, what is under way.
 *
 * Revisions, tokens and lease ids are compared for being the same and nothing else, so a state is
 * encoded with them numbered in the order in which they appear: states that differ by names are one.
 */

/** Times in ticks. */
export const LEASE_TICKS = 3;
/** The owner writes for so long after it sent the last keep-alive that was confirmed. */
export const FENCE_TICKS = 2;
/** A transfer that the kernel has taken lands within so many. */
export const LANDING_TICKS = 2;
/** A new owner's wait after one that did not release. */
export const TAKE_OVER_TICKS = 1;
/** The wait of whoever took the lock from an owner that may live: its fence closes, its writes land. */
export const STEAL_TICKS = FENCE_TICKS + LANDING_TICKS;
export type Phase =
  | 'idle'
  /** Has asked for the lock. */
  | 'asking'
  | 'standby'
  | 'owner'
  /** Owner whose lease etcd no longer has. */
  | 'leaseless'
  /** Hands over, or makes sure that a hand-over cannot happen any more. */
  | 'leaving';

export type OperationKind =
  'attach' | 'steal' | 'reacquire' | 'commit' | 'release' | 'handOver' | 'touch';

/** A transaction, with what it compares and puts. */
export interface Operation {
  readonly kind: OperationKind;
  /** Names what it puts, so that its sender knows its own success. */
  readonly token: number;
  /** Of the lease under which it puts the lock. */
  readonly leaseId: number;
  readonly lockId: number;
  readonly stateRevision: number;
  readonly epoch: number;
}

export type Stage = 'request' | 'done' | 'refused';

/** A transaction on its way. */
export interface Sent {
  readonly operation: Operation;
  readonly stage: Stage;
  /** Of the reply. */
  readonly epoch: number;
  readonly lockId: number;
  readonly stateRevision: number;
  readonly wait: number;
}

export interface Process {
  phase: Phase;
  /** Its own as it knows them; 0 is none. */
  epoch: number;
  lockId: number;
  stateRevision: number;
  leaseId: number;
  /** Ticks for which its fence stays open. */
  fence: number;
  /** Ticks for which it does not write yet. */
  wait: number;
  /** It has waited, and etcd knows. */
  isSettled: boolean;
  /** etcd's side of its lease; 0 where it is gone. */
  leaseLeft: number;
  /** etcd has its standby key. */
  isReady: boolean;
  /**
   * Ticks since a keep-alive was sent that etcd confirmed and of which it has not heard yet; null
   * without one.
   */
  confirmedAge: number | null;
  sent: Sent | null;
  /** Its last transaction's outcome is unknown to it. */
  unsure: Operation | null;
  /** In the kernel: lands even where the process is stopped or dead. */
  transfer: { readonly epoch: number; age: number } | null;
}

export interface Lock {
  /** The revision at which it was created. */
  readonly id: number;
  readonly token: number;
  readonly leaseId: number;
}

export interface State {
  lock: Lock | null;
  epoch: number;
  isInUse: boolean;
  /** How long whoever attaches has to wait, as nobody has waited since it became necessary. */
  unsettled: number;
  stateRevision: number;
  /** Two that attach, and one that stands by. */
  readonly processes: readonly [Process, Process, Process];
  /** A request of which nobody awaits the reply, or a second copy of one; may yet arrive. */
  late: Operation | null;
  /** The latest epoch of which a write has landed. */
  landedEpoch: number;
  /** Of the lease to which the lock was handed, until its owner knows. */
  handedTo: number;
  /** How many more messages may be lost, late or done twice. */
  faultsLeft: number;
  violation: string | null;
  /** Not a part of what the state is. */
  nextId: number;
}

export const STANDBY = 2;

function newProcess(): Process {
  return {
    phase: 'idle',
    epoch: 0,
    lockId: 0,
    stateRevision: 0,
    leaseId: 0,
    fence: 0,
    wait: 0,
    isSettled: false,
    leaseLeft: 0,
    isReady: false,
    confirmedAge: null,
    sent: null,
    unsure: null,
    transfer: null,
  };
}

export function initialState(faultsMax: number): State {
  return {
    lock: null,
    epoch: 0,
    isInUse: false,
    unsettled: 0,
    stateRevision: 1,
    processes: [newProcess(), newProcess(), newProcess()],
    late: null,
    landedEpoch: 0,
    handedTo: 0,
    faultsLeft: faultsMax,
    violation: null,
    nextId: 2,
  };
}

export function copyOf(state: State): State {
  const [a, b, c] = state.processes;
  return { ...state, processes: [copyOfProcess(a), copyOfProcess(b), copyOfProcess(c)] };
}

function copyOfProcess(process: Process): Process {
  const { transfer } = process;
  return {
    ...process,
    transfer: transfer && { ...transfer },
  };
}

/** A number that nothing in the state has yet. */
export function freshId(state: State): number {
  return state.nextId++;
}

const PHASES: readonly Phase[] = ['idle', 'asking', 'standby', 'owner', 'leaseless', 'leaving'];
const KINDS: readonly OperationKind[] = [
  'attach',
  'steal',
  'reacquire',
  'commit',
  'release',
  'handOver',
  'touch',
];
const STAGES: readonly Stage[] = ['request', 'done', 'refused'];

/** The two that attach are interchangeable: the one whose code is less comes first. */
export function encode(state: State): string {
  const [a, b, standby] = state.processes;
  const codeA = encodeProcess(a);
  const codeB = encodeProcess(b);
  const rest = encodeProcess(standby) + encodeShared(state);
  if (codeA < codeB) return codeA + codeB + rest + encodeIds(state, a, b);
  if (codeA > codeB) return codeB + codeA + rest + encodeIds(state, b, a);
  const one = encodeIds(state, a, b);
  const other = encodeIds(state, b, a);
  return codeA + codeB + rest + (one < other ? one : other);
}

function encodeProcess(process: Process): string {
  const { confirmedAge, sent, transfer, unsure } = process;
  return String.fromCharCode(
    PHASES.indexOf(process.phase) * 4 + process.epoch,
    process.fence * 64 + process.wait * 8 + process.leaseLeft * 2 + Number(process.isReady),
    Number(process.isSettled),
    confirmedAge === null ? 0 : 1 + confirmedAge,
    transfer === null ? 0 : 1 + transfer.epoch * 4 + transfer.age,
    operationCode(unsure),
    operationCode(sent?.operation ?? null),
    sent === null ? 0 : STAGES.indexOf(sent.stage),
    sent === null ? 0 : sent.epoch * 8 + sent.wait,
  );
}

function encodeShared(state: State): string {
  return String.fromCharCode(
    state.unsettled * 16 + state.epoch * 4 + state.landedEpoch,
    Number(state.isInUse) * 4 + Number(state.lock !== null) * 2 + Number(state.violation !== null),
    operationCode(state.late),
    state.faultsLeft,
  );
}

function operationCode(operation: Operation | null): number {
  return operation === null ? 0 : 1 + KINDS.indexOf(operation.kind) * 4 + operation.epoch;
}

const ids = new Array<number>(64).fill(0);

/** Each id by where it appears first. */
function encodeIds(state: State, first: Process, second: Process): string {
  let length = 0;
  let text = '';
  const visit = (id: number): void => {
    let at = 0;
    if (id !== 0) {
      while (at < length && ids[at] !== id) at++;
      if (at === length) ids[length++] = id;
      at++;
    }
    text += NAMES[at];
  };
  const operation = (of: Operation | null): void => {
    if (of === null) return;
    visit(of.token);
    visit(of.leaseId);
    visit(of.lockId);
    visit(of.stateRevision);
  };
  const process = (of: Process): void => {
    visit(of.leaseId);
    visit(of.lockId);
    visit(of.stateRevision);
    operation(of.unsure);
    if (of.sent === null) return;
    operation(of.sent.operation);
    visit(of.sent.lockId);
    visit(of.sent.stateRevision);
  };
  visit(state.stateRevision);
  visit(state.handedTo);
  if (state.lock !== null) {
    visit(state.lock.id);
    visit(state.lock.token);
    visit(state.lock.leaseId);
  }
  process(first);
  process(second);
  process(state.processes[STANDBY]);
  operation(state.late);
  return text;
}

const NAMES = Array.from({ length: 64 }, (_, at) => String.fromCharCode(48 + at));
