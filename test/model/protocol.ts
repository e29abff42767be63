/**
 * The protocol of lock, lease, epoch, standby and hand-over as a state machine: every step that a
 * process, etcd, the network, the kernel or time can take next. docs/etcd-protocol.md tells it in
 * words; lib/coordination/etcd does it.
 */
import type { Machine } from './explore';
import { decide, endLease, putsLock } from './etcd-steps';
import type { PlantedBugs } from './planted-bugs';
import {
  copyOf,
  encode,
  FENCE_TICKS,
  freshId,
  initialState,
  LANDING_TICKS,
  LEASE_TICKS,
  type Operation,
  type OperationKind,
  type Process,
  STANDBY,
  type State,
} from './state';

/** What is older confirms nothing any more: a keep-alive counts as lost then. */
const AGE_MAX = FENCE_TICKS;
const NAMES = ['A', 'B', 'standby'];

/**
 * What happens besides messages that are lost, late or done twice, and processes that are stopped:
 * in every state each process may do nothing for any number of ticks, which is what SIGSTOP does.
 */
export interface Scope {
  /** Where the model ends: nobody attaches any more. At most 3. */
  readonly epochMax: number;
  /** Messages that are lost, late or done twice in one history. */
  readonly faultsMax: number;
  /** Replies to keep-alives take their time. */
  readonly slowReplies: boolean;
  readonly steals: boolean;
  readonly handsOver: boolean;
  readonly kills: boolean;
}

type Change = (state: State, process: Process) => void;

export class Protocol implements Machine<State> {
  readonly initial: State;

  constructor(
    private readonly scope: Scope,
    private readonly bugs: PlantedBugs = {},
  ) {
    this.initial = initialState(scope.faultsMax);
  }

  encode(state: State): string {
    return encode(state);
  }

  violation(state: State): string | null {
    if (state.violation !== null) return state.violation;
    const writers = state.processes.filter((process) => this.mayWrite(process));
    return writers.length > 1 ? 'two owners may write at once' : null;
  }

  next(state: State, emit: (label: string, state: State) => void): void {
    this.timeSteps(state, emit);
    for (let i = 0; i < state.processes.length; i++) {
      const step = (label: string, change: Change): void => {
        const after = copyOf(state);
        change(after, after.processes[i]);
        emit(`${NAMES[i]}: ${label}`, after);
      };
      const process = state.processes[i];
      this.networkSteps(state, process, step);
      this.fateSteps(process, step);
      this.replySteps(process, step);
      this.attachSteps(state, process, i, step);
      this.ownerSteps(state, process, i, step);
    }
  }

  private mayWrite({ phase, fence, isSettled }: Process): boolean {
    const isOpen = fence > 0 || this.bugs.noSelfFence === true;
    return phase === 'owner' && isSettled && isOpen;
  }

  private timeSteps(state: State, emit: (label: string, state: State) => void): void {
    const { late } = state;
    if (late !== null) {
      const after = copyOf(state);
      after.late = null;
      decide(after, late, this.bugs);
      emit(`a late ${late.kind} arrives`, after);
    }
    // What the kernel has taken lands in time.
    if (state.processes.some(({ transfer }) => transfer?.age === LANDING_TICKS)) return;
    const after = copyOf(state);
    for (const process of after.processes) tick(after, process);
    emit('a tick', after);
  }

  private networkSteps(
    state: State,
    { sent }: Process,
    step: (label: string, change: Change) => void,
  ): void {
    if (sent === null) return;
    const { operation } = sent;
    if (sent.stage === 'request') {
      const arrive: Change = (s, p) => {
        p.sent = decide(s, operation, this.bugs);
      };
      step(`${operation.kind} arrives`, arrive);
      if (state.late === null && state.faultsLeft > 0) {
        step(`${operation.kind} arrives, and will arrive again`, (s, p) => {
          arrive(s, p);
          s.late = operation;
          s.faultsLeft--;
        });
        step(`gives ${operation.kind} up while it is under way`, (s, p) => {
          s.late = operation;
          s.faultsLeft--;
          giveUp(p, operation);
        });
      }
    }
    if (state.faultsLeft === 0) return;
    step(`${operation.kind} is lost`, (s, p) => {
      s.faultsLeft--;
      giveUp(p, operation);
    });
  }

  private fateSteps(process: Process, step: (label: string, change: Change) => void): void {
    const { transfer } = process;
    if (transfer !== null) {
      step(`a write of epoch ${transfer.epoch} lands`, (s, p) => {
        p.transfer = null;
        if (transfer.epoch < s.landedEpoch) {
          s.violation ??= `a write of epoch ${transfer.epoch} lands after one of ${s.landedEpoch}`;
        }
        s.landedEpoch = Math.max(s.landedEpoch, transfer.epoch);
      });
    }
    if (this.scope.kills && process.phase !== 'idle') step('SIGKILL', (_, p) => forget(p));
  }

  private replySteps(process: Process, step: (label: string, change: Change) => void): void {
    const { confirmedAge, sent, unsure } = process;
    if (confirmedAge !== null) {
      step('hears that its keep-alive was confirmed', (_, p) => {
        const age = this.bugs.fenceFromReply ? 0 : confirmedAge;
        p.fence = Math.max(p.fence, FENCE_TICKS - age);
        p.confirmedAge = null;
      });
    }
    if (sent !== null && sent.stage !== 'request') {
      step(`hears that ${sent.operation.kind} was ${sent.stage}`, (s, p) => this.hear(s, p));
    }
    if (unsure !== null) step(`looks what became of ${unsure.kind}`, (s, p) => this.look(s, p));
  }

  private hear(state: State, process: Process): void {
    const { operation, stage, lockId, stateRevision, epoch, wait } = process.sent!;
    // By the lease that it was put under: a standby's may be an old one.
    const fence = this.bugs.fenceFromAttach ? FENCE_TICKS : process.fence;
    process.sent = null;
    if (stage === 'refused') {
      if (operation.kind === 'handOver') process.unsure = operation;
      else leave(state, process);
    } else if (putsLock(operation.kind)) {
      own(process, operation, { lockId, stateRevision, epoch, wait, fence });
    } else if (operation.kind === 'touch') {
      process.phase = 'owner';
      process.stateRevision = stateRevision;
    } else {
      leave(state, process);
    }
  }

  /** After a transaction whose outcome it does not know. */
  private look(state: State, process: Process): void {
    const operation = process.unsure!;
    process.unsure = null;
    const { lock, stateRevision, epoch, unsettled: wait } = state;
    const { fence } = process;
    if (putsLock(operation.kind)) {
      if (lock?.token === operation.token) {
        own(process, operation, { lockId: lock.id, stateRevision, epoch, wait, fence });
      } else if (operation.kind !== 'reacquire') {
        leave(state, process);
      }
    } else if (lock?.id !== process.lockId) {
      leave(state, process);
    } else if (this.bugs.resumeWithoutTouch) {
      process.phase = 'owner';
    } else {
      this.send(state, process, 'touch');
    }
  }

  private attachSteps(
    state: State,
    process: Process,
    index: number,
    step: (label: string, change: Change) => void,
  ): void {
    const { phase, sent, unsure } = process;
    // A lease of a process that was killed may still be there: one at a time keeps the model small.
    const isFresh = phase === 'idle' && process.leaseLeft === 0 && process.transfer === null;
    const canRise = state.epoch < this.scope.epochMax;
    if (index === STANDBY) {
      if (isFresh && canRise && this.scope.handsOver) {
        step('stands by', (s, p) => {
          grantLease(s, p);
          p.phase = 'standby';
          p.isReady = true;
        });
      }
      if (phase === 'standby' && sent === null && unsure === null) {
        if (state.lock?.leaseId === process.leaseId && state.lock.leaseId !== 0) {
          step('sees that it has the lock', (s, p) => this.takeHandedLock(s, p));
        } else if (state.lock === null && canRise) {
          step('asks for the free lock', (s, p) => this.send(s, p, 'attach'));
        }
      }
      return;
    }
    if (!isFresh || !canRise) return;
    const kind = state.lock === null ? 'attach' : 'steal';
    if (kind === 'steal' && !this.scope.steals) return;
    step(`sends ${kind}`, (s, p) => {
      grantLease(s, p);
      this.send(s, p, kind);
      p.phase = 'asking';
    });
  }

  private takeHandedLock(state: State, process: Process): void {
    const { lock, stateRevision, epoch } = state;
    const { fence } = process;
    own(process, null, { lockId: lock!.id, stateRevision, epoch, wait: 0, fence });
    state.handedTo = 0;
  }

  /**
   * A keep-alive that etcd confirms at once and of which the owner hears at once is the hardest
   * case: the lease ends soonest and the fence closes latest. That the reply takes its time is
   * modelled for the sake of owners that count from it.
   */
  private keepAliveSteps(
    state: State,
    process: Process,
    step: (label: string, change: Change) => void,
  ): void {
    const isOwner = process.phase === 'owner';
    const isItsOwn = !isOwner || state.lock?.id === process.lockId;
    if (process.leaseLeft === 0 || !isItsOwn) {
      step('sees that its lease or lock is gone', (_, p) => {
        if (isOwner) p.phase = 'leaseless';
        else forget(p);
      });
      return;
    }
    if (process.leaseLeft === LEASE_TICKS) return;
    step('sends a keep-alive, which is confirmed', (_, p) => {
      p.leaseLeft = LEASE_TICKS;
      p.fence = FENCE_TICKS;
    });
    if (isOwner && this.scope.slowReplies && process.confirmedAge === null) {
      step('sends a keep-alive, which is confirmed slowly', (_, p) => {
        p.leaseLeft = LEASE_TICKS;
        p.confirmedAge = 0;
      });
    }
  }

  private ownerSteps(
    state: State,
    process: Process,
    index: number,
    step: (label: string, change: Change) => void,
  ): void {
    const { phase, sent, unsure, transfer } = process;
    if (phase === 'owner' || phase === 'standby') this.keepAliveSteps(state, process, step);
    if (phase === 'leaseless' && sent === null && unsure === null) {
      if (state.lock !== null || (state.epoch !== process.epoch && !this.bugs.lockWithoutEpoch)) {
        step('sees that another has the volume', leave);
      } else {
        step('asks for the lock again', (s, p) => {
          grantLease(s, p);
          this.send(s, p, 'reacquire');
        });
      }
    }
    if (phase !== 'owner') return;
    if (!process.isSettled && process.wait === 0 && state.lock?.id === process.lockId) {
      step('has waited, and says so', (s, p) => {
        p.isSettled = true;
        s.unsettled = 0;
        p.stateRevision = s.stateRevision = freshId(s);
      });
    }
    if (this.mayWrite(process) && transfer === null) {
      step('writes', (_, p) => (p.transfer = { epoch: p.epoch, age: 0 }));
    }
    const isQuiet = transfer === null && sent === null && unsure === null;
    if (state.late === null) {
      if (this.mayWrite(process)) {
        step('commits', (s, p) => (s.late = operationOf(s, p, 'commit')));
      }
      if (isQuiet) {
        step('releases', (s, p) => {
          s.late = operationOf(s, p, 'release');
          forget(p);
        });
      }
    }
    if (!isQuiet) return;
    if (!process.isSettled) return;
    if (this.scope.handsOver && index !== STANDBY && state.processes[STANDBY].isReady) {
      step('hands over', (s, p) => {
        this.send(s, p, 'handOver');
        p.phase = 'leaving';
      });
    }
  }

  private send(state: State, process: Process, kind: OperationKind): void {
    const operation = operationOf(state, process, kind);
    const reply = { epoch: 0, lockId: 0, stateRevision: 0, wait: 0 };
    process.sent = { operation, stage: 'request', ...reply };
  }
}

function operationOf(state: State, process: Process, kind: OperationKind): Operation {
  const puts = putsLock(kind);
  return {
    kind,
    token: puts || kind === 'handOver' ? freshId(state) : 0,
    leaseId: puts ? process.leaseId : 0,
    lockId: kind === 'steal' ? state.lock!.id : puts ? 0 : process.lockId,
    stateRevision: stateCompared(kind, state, process),
    epoch: kind === 'commit' ? process.epoch : 0,
  };
}

function stateCompared(kind: OperationKind, state: State, process: Process): number {
  if (kind === 'attach' || kind === 'steal') return state.stateRevision;
  return kind === 'reacquire' || kind === 'handOver' ? process.stateRevision : 0;
}

function grantLease(state: State, process: Process): void {
  process.leaseId = freshId(state);
  process.leaseLeft = LEASE_TICKS;
  process.confirmedAge = null;
  process.fence = FENCE_TICKS;
}

/** What it knows of the lock that is its own now. */
interface Known {
  readonly lockId: number;
  readonly stateRevision: number;
  readonly epoch: number;
  readonly wait: number;
  readonly fence: number;
}

/** `by` is null where the lock was handed to it. */
function own(process: Process, by: Operation | null, known: Known): void {
  process.phase = 'owner';
  process.lockId = known.lockId;
  process.fence = known.fence;
  process.confirmedAge = null;
  // Put anew it is the same right: what was to be waited for still is.
  if (by?.kind === 'reacquire') return;
  process.stateRevision = known.stateRevision;
  process.epoch = known.epoch;
  process.wait = known.wait;
  process.isSettled = known.wait === 0;
}

function giveUp(process: Process, operation: Operation): void {
  process.sent = null;
  process.unsure = operation;
}

/** Ends its part, and its lease. */
function leave(state: State, process: Process): void {
  endLease(state, process);
  forget(process);
}

/** As a new process, of which etcd and the kernel may still have something. */
function forget(process: Process): void {
  process.phase = 'idle';
  process.epoch = 0;
  process.lockId = 0;
  process.stateRevision = 0;
  process.fence = 0;
  process.wait = 0;
  process.isSettled = false;
  process.confirmedAge = null;
  process.sent = null;
  process.unsure = null;
  // The name of a lease that is gone means nothing.
  if (process.leaseLeft === 0) process.leaseId = 0;
}

function tick(state: State, process: Process): void {
  const { confirmedAge, transfer } = process;
  process.fence = Math.max(0, process.fence - 1);
  process.wait = Math.max(0, process.wait - 1);
  if (confirmedAge !== null) {
    process.confirmedAge = confirmedAge === AGE_MAX ? null : confirmedAge + 1;
  }
  if (transfer !== null) transfer.age++;
  if (process.leaseLeft > 0 && --process.leaseLeft === 0) endLease(state, process);
}
