/**
 * The protocol of lock, lease, epoch, standby and hand-over as a state machine: every step that a
 * process, etcd, the network, the kernel or time can take next. docs/etcd-protocol.md tells it in
 * words; lib/coordination/etcd does it.
 */
import type { Machine } from './explore';
import { confirmKeepAlive, decide, endLease } from './etcd-steps';
import type { PlantedBugs } from './planted-bugs';
import {
  copyOf,
  encode,
  EPOCH_MAX,
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
  STEAL_TICKS,
  TAKE_OVER_TICKS,
} from './state';

/** What is older confirms nothing any more: a keep-alive counts as lost then. */
const AGE_MAX = FENCE_TICKS;
const NAMES = ['A', 'B', 'standby'];

/**
 * What happens besides messages that are lost, late or done twice, and processes that are stopped:
 * in every state each process may do nothing for any number of ticks, which is what SIGSTOP does.
 */
export interface Scope {
  readonly steals: boolean;
  readonly handsOver: boolean;
  readonly kills: boolean;
}

type Change = (state: State, process: Process) => void;

export class Protocol implements Machine<State> {
  readonly initial = initialState();

  constructor(
    private readonly scope: Scope,
    private readonly bugs: PlantedBugs = {},
  ) {}

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

  private mayWrite({ phase, fence, wait, epoch }: Process): boolean {
    const isOpen = fence > 0 || this.bugs.noSelfFence === true;
    return phase === 'owner' && epoch > 0 && wait === 0 && isOpen;
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
        p.sent = { ...decide(s, operation, this.bugs), age: sent.age };
      };
      step(`${operation.kind} arrives`, arrive);
      if (state.late === null) {
        step(`${operation.kind} arrives, and will arrive again`, (s, p) => {
          arrive(s, p);
          s.late = operation;
        });
        step(`gives ${operation.kind} up while it is under way`, (s, p) => {
          s.late = operation;
          giveUp(p, operation);
        });
      }
    }
    step(`${operation.kind} is lost`, (_, p) => giveUp(p, operation));
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
    const { operation, stage, lockId, stateRevision, epoch, age, isUnclean } = process.sent!;
    process.sent = null;
    if (stage === 'refused') {
      if (operation.kind === 'handOver') process.unsure = operation;
      else leave(state, process);
    } else if (operation.kind === 'attach') {
      const fence = FENCE_TICKS - age;
      this.own(process, { lockId, stateRevision, epoch, fence, isUnclean });
    } else if (operation.kind === 'reacquire') {
      const { epoch: own, wait } = process;
      const fence = FENCE_TICKS - age;
      this.own(process, { lockId, stateRevision, epoch: own, fence, isUnclean: false });
      process.wait = wait;
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
    const { lock, stateRevision, epoch } = state;
    if (operation.kind === 'attach' || operation.kind === 'reacquire') {
      if (lock?.token === operation.token) {
        const isUnclean = operation.kind === 'attach';
        const known = { lockId: lock.id, stateRevision, epoch, isUnclean };
        this.own(process, { ...known, fence: process.fence });
      } else if (operation.kind === 'attach') {
        leave(state, process);
      }
    } else if (lock?.id !== process.lockId) {
      leave(state, process);
    } else if (operation.kind === 'handOver' && this.bugs.resumeWithoutTouch) {
      process.phase = 'owner';
    } else {
      this.send(state, process, 'touch');
    }
  }

  private own(
    process: Process,
    known: {
      lockId: number;
      stateRevision: number;
      epoch: number;
      fence: number;
      isUnclean: boolean;
    },
  ): void {
    process.phase = 'owner';
    process.lockId = known.lockId;
    process.stateRevision = known.stateRevision;
    process.epoch = known.epoch;
    process.fence = Math.max(0, known.fence);
    process.wait = known.isUnclean && !this.bugs.noTakeOverWait ? TAKE_OVER_TICKS : 0;
  }

  private attachSteps(
    state: State,
    process: Process,
    index: number,
    step: (label: string, change: Change) => void,
  ): void {
    const { phase, wait, sent, unsure } = process;
    // A lease of a process that was killed may still be there: one at a time keeps the model small.
    const isFresh = phase === 'idle' && process.leaseLeft === 0 && process.transfer === null;
    const canRise = state.epoch < EPOCH_MAX;
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
    if (isFresh && canRise && state.lock === null) {
      step('asks for the lock', (s, p) => {
        grantLease(s, p);
        this.send(s, p, 'attach');
        p.phase = 'asking';
      });
    }
    if (isFresh && canRise && state.lock !== null && this.scope.steals) {
      step('revokes the lease of the owner', (s, p) => {
        const owner = s.processes.find(({ leaseId }) => leaseId === s.lock?.leaseId);
        if (owner !== undefined) endLease(s, owner);
        p.phase = 'stealing';
        p.wait = this.bugs.noStealWait ? 0 : STEAL_TICKS;
      });
    }
    if (phase === 'stealing' && wait === 0) {
      step('has waited, and goes on to attach', (_, p) => forget(p));
    }
  }

  private takeHandedLock(state: State, process: Process): void {
    const { lock, stateRevision, epoch } = state;
    const known = { lockId: lock!.id, stateRevision, epoch, isUnclean: false };
    this.own(process, { ...known, fence: process.fence });
    state.handedTo = 0;
  }

  /**
   * A keep-alive that etcd confirms at once and of which the owner hears at once is the hardest
   * case: the lease ends soonest and the fence closes latest. That the reply takes its time is
   * modelled for the sake of owners that count from it.
   */
  private keepAliveSteps(process: Process, step: (label: string, change: Change) => void): void {
    if (process.leaseLeft === 0) {
      step('hears that its lease is gone', (_, p) => {
        if (p.phase === 'owner') p.phase = 'leaseless';
        else forget(p);
      });
      return;
    }
    if (process.leaseLeft === LEASE_TICKS) return;
    step('sends a keep-alive, which is confirmed', (_, p) => {
      confirmKeepAlive(p);
      p.fence = FENCE_TICKS;
    });
    if (process.phase === 'owner' && process.confirmedAge === null) {
      step('sends a keep-alive, which is confirmed slowly', (_, p) => {
        confirmKeepAlive(p);
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
    if (phase === 'owner' || phase === 'standby') this.keepAliveSteps(process, step);
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
    if (this.scope.handsOver && index !== STANDBY && state.processes[STANDBY].isReady) {
      step('hands over', (s, p) => {
        this.send(s, p, 'handOver');
        p.phase = 'leaving';
      });
    }
  }

  private send(state: State, process: Process, kind: OperationKind): void {
    const operation = operationOf(state, process, kind);
    const reply = { epoch: 0, lockId: 0, stateRevision: 0, isUnclean: false };
    process.sent = { operation, stage: 'request', age: 0, ...reply };
  }
}

function operationOf(state: State, process: Process, kind: OperationKind): Operation {
  const puts = kind === 'attach' || kind === 'reacquire';
  return {
    kind,
    token: puts || kind === 'handOver' ? freshId(state) : 0,
    leaseId: puts ? process.leaseId : 0,
    lockId: puts ? 0 : process.lockId,
    stateRevision: stateCompared(kind, state, process),
    epoch: kind === 'commit' ? process.epoch : 0,
  };
}

function stateCompared(kind: OperationKind, state: State, process: Process): number {
  if (kind === 'attach') return state.stateRevision;
  return kind === 'reacquire' || kind === 'handOver' ? process.stateRevision : 0;
}

function grantLease(state: State, process: Process): void {
  process.leaseId = freshId(state);
  process.leaseLeft = LEASE_TICKS;
  process.confirmedAge = null;
  process.fence = FENCE_TICKS;
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
  process.confirmedAge = null;
  process.sent = null;
  process.unsure = null;
  // The name of a lease that is gone means nothing.
  if (process.leaseLeft === 0) process.leaseId = 0;
}

function tick(state: State, process: Process): void {
  const { confirmedAge, sent, transfer } = process;
  process.fence = Math.max(0, process.fence - 1);
  process.wait = Math.max(0, process.wait - 1);
  if (confirmedAge !== null) {
    process.confirmedAge = confirmedAge === AGE_MAX ? null : confirmedAge + 1;
  }
  const puts = sent?.operation.kind === 'attach' || sent?.operation.kind === 'reacquire';
  if (sent !== null && puts) sent.age = Math.min(AGE_MAX, sent.age + 1);
  if (transfer !== null) transfer.age++;
  if (process.leaseLeft > 0 && --process.leaseLeft === 0) endLease(state, process);
}
