/** What etcd does in the model: decides transactions, confirms keep-alives, ends leases. */
import type { PlantedBugs } from './planted-bugs';
import {
  freshId,
  type Operation,
  type OperationKind,
  type Process,
  type Sent,
  STANDBY,
  type State,
  STEAL_TICKS,
  TAKE_OVER_TICKS,
} from './state';

/** Decides a transaction and gives the reply, with what its sender goes by and nothing else. */
export function decide(state: State, operation: Operation, bugs: PlantedBugs): Sent {
  const isDone = comparesHold(state, operation, bugs) && doOperation(state, operation, bugs);
  const { kind } = operation;
  const puts = isDone && putsLock(kind);
  return {
    operation,
    stage: isDone ? 'done' : 'refused',
    epoch: puts ? state.epoch : 0,
    lockId: puts ? state.lock!.id : 0,
    stateRevision: puts || (isDone && kind === 'touch') ? state.stateRevision : 0,
    wait: puts && kind !== 'reacquire' ? state.unsettled : 0,
  };
}

function comparesHold(state: State, operation: Operation, bugs: PlantedBugs): boolean {
  const { kind, lockId, stateRevision } = operation;
  switch (kind) {
    case 'attach':
      return state.lock === null && state.stateRevision === stateRevision;
    case 'steal':
      return state.lock?.id === lockId && state.stateRevision === stateRevision;
    case 'reacquire':
      return (
        state.lock === null && (bugs.lockWithoutEpoch || state.stateRevision === stateRevision)
      );
    case 'commit':
      return bugs.commitWithoutCompare || state.lock?.id === lockId;
    case 'handOver':
      return (
        state.lock?.id === lockId &&
        state.processes[STANDBY].isReady &&
        state.stateRevision === stateRevision
      );
    case 'release':
    case 'touch':
      return state.lock?.id === lockId;
  }
}

/** False where the lease that it names is gone: then nothing was done. */
function doOperation(state: State, operation: Operation, bugs: PlantedBugs): boolean {
  switch (operation.kind) {
    case 'attach':
      return takeLock(
        state,
        operation,
        bugs.noTakeOverWait || !state.isInUse ? 0 : TAKE_OVER_TICKS,
        bugs,
      );
    case 'steal':
      return takeLock(state, operation, bugs.noStealWait ? TAKE_OVER_TICKS : STEAL_TICKS, bugs);
    case 'reacquire':
      return putLock(state, operation, state.epoch);
    case 'commit':
      if (operation.epoch !== state.epoch) {
        state.violation ??= `a commit of epoch ${operation.epoch} in epoch ${state.epoch}`;
      }
      return true;
    case 'touch':
      state.stateRevision = freshId(state);
      return true;
    case 'release':
      state.lock = null;
      state.isInUse = false;
      state.stateRevision = freshId(state);
      return true;
    case 'handOver':
      return handOver(state, operation, bugs);
  }
}

function putLock(state: State, operation: Operation, epoch: number): boolean {
  const holder = leaseHolder(state, operation.leaseId);
  if (holder === undefined) return false;
  // One that steals takes it from whoever has it.
  if (operation.kind === 'steal') state.handedTo = 0;
  if (state.handedTo !== 0 && state.handedTo !== operation.leaseId) {
    state.violation ??= 'a third party has the lock between the two sides of a hand-over';
  }
  state.lock = { id: freshId(state), token: operation.token, leaseId: operation.leaseId };
  if (epoch !== state.epoch) {
    state.epoch = epoch;
    state.isInUse = true;
    state.stateRevision = freshId(state);
  }
  return true;
}

function takeLock(state: State, operation: Operation, wait: number, bugs: PlantedBugs): boolean {
  if (!putLock(state, operation, state.epoch + 1)) return false;
  state.unsettled = bugs.waitNotKept ? wait : Math.max(state.unsettled, wait);
  return true;
}

function handOver(state: State, operation: Operation, bugs: PlantedBugs): boolean {
  const standby = state.processes[STANDBY];
  if (standby.leaseLeft === 0) return false;
  standby.isReady = false;
  state.handedTo = standby.leaseId;
  if (bugs.handOverByRelease) {
    state.lock = null;
    state.isInUse = false;
    state.stateRevision = freshId(state);
    return true;
  }
  return putLock(state, { ...operation, leaseId: standby.leaseId }, state.epoch + 1);
}

function leaseHolder(state: State, leaseId: number): Process | undefined {
  return state.processes.find((p) => p.leaseId === leaseId && p.leaseLeft > 0);
}

/** Whether the transaction puts the lock for its sender. */
export function putsLock(kind: OperationKind): boolean {
  return kind === 'attach' || kind === 'steal' || kind === 'reacquire';
}

/** The lease is gone, and the lock with it where it was put under this lease. */
export function endLease(state: State, process: Process): void {
  process.leaseLeft = 0;
  process.isReady = false;
  if (state.lock?.leaseId === process.leaseId) state.lock = null;
  if (state.handedTo === process.leaseId) state.handedTo = 0;
}
