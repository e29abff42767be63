/** The submission side of an io_uring: entries written in order, and handed over by the batch. */
import { SystemCallError } from './system-call-error';
import { CONTROL_WORDS, ENTERED, TO_SUBMIT } from './uring-control';
import * as layout from './uring-layout';
import type { UringRing } from './uring-ring';

const HALF = 2 ** 32;
const EINTR = -4;
const EAGAIN = -11;
const EBUSY = -16;
/** A wait is over whose time has come. */
const ETIME = -62;

/**
 * Lower words of user data that are no operation's slot. Watches have FIRST_WATCH and those below.
 */
export const NOBODY = -1;
export const LINGER_BACKEND = -2;
export const FIRST_WATCH = -3;

export class UringSubmission {
  /** Shared with the addon's turns, which hand over what is here, too. */
  readonly control = new Int32Array(CONTROL_WORDS);
  readonly sqes: Uint32Array;
  private tail = 0;

  constructor(private readonly ring: UringRing) {
    this.sqes = ring.sqes;
  }

  /** Entries begun that the kernel has not taken. */
  get untaken(): number {
    return this.control[TO_SUBMIT];
  }

  get isFull(): boolean {
    return this.control[TO_SUBMIT] >= this.ring.submissions;
  }

  /**
   * Takes the next entry; the ring is not full. Returns its first word in `sqes`, all of whose
   * others are zero then, to be filled in and followed by `publish`.
   */
  begin(opcode: number, fd: number, userData: number): number {
    const { sqes } = this;
    const entry = (this.tail & this.ring.submissionMask) * layout.SQE_WORDS;
    this.tail = (this.tail + 1) | 0;
    this.control[TO_SUBMIT]++;
    sqes[entry + layout.SQE_OPCODE] = opcode;
    sqes[entry + layout.SQE_FD] = fd;
    for (let word = layout.SQE_OFFSET; word < layout.SQE_USER_DATA; word++) sqes[entry + word] = 0;
    sqes[entry + layout.SQE_USER_DATA] = userData;
    sqes[entry + layout.SQE_USER_DATA + 1] = 0;
    sqes[entry + layout.SQE_BUFFER_INDEX] = 0;
    return entry;
  }

  /** Sets an entry's address, of memory that stays where it is until the entry is taken. */
  setAddress(entry: number, address: number): void {
    this.sqes[entry + layout.SQE_ADDRESS] = address;
    this.sqes[entry + layout.SQE_ADDRESS + 1] = address / HALF;
  }

  /** Names the entry that a POLL_REMOVE is about. */
  setTarget(entry: number, userData: number): void {
    this.sqes[entry + layout.SQE_ADDRESS] = userData;
  }

  /**
   * Makes every operation that the kernel has not taken an entry that does nothing, and calls back
   * with its slot; polls stay.
   */
  withdrawOperations(withdrawn: (slot: number) => void): void {
    const { sqes } = this;
    for (let back = this.control[TO_SUBMIT]; back > 0; back--) {
      const entry = ((this.tail - back) & this.ring.submissionMask) * layout.SQE_WORDS;
      const slot = sqes[entry + layout.SQE_USER_DATA] | 0;
      if (slot < 0) continue;
      sqes.fill(0, entry, entry + layout.SQE_WORDS);
      sqes[entry + layout.SQE_OPCODE] = layout.OP_NOP;
      sqes[entry + layout.SQE_USER_DATA] = NOBODY;
      withdrawn(slot);
    }
  }

  /** The ring is being closed, and what the kernel has not taken with it: entries for nobody. */
  forget(): void {
    this.control[TO_SUBMIT] = 0;
  }

  /** Lets the kernel see what was begun, when it is next entered. */
  publish(): void {
    Atomics.store(this.ring.words, this.ring.submissionTailWord, this.tail);
  }

  /**
   * Hands over everything published. False: the kernel is short of memory; what is left stays in
   * the ring and is to be offered again.
   *
   * @throws SystemCallError where the ring itself is unusable
   */
  handOver(flags = 0): boolean {
    const { control } = this;
    while (control[TO_SUBMIT] > 0) {
      const taken = this.ring.enter(control[TO_SUBMIT], 0, flags);
      if (taken > 0) control[TO_SUBMIT] -= taken;
      else if (!isSound(taken)) return false;
    }
    return true;
  }

  /** The same verdict on what the addon's last turn handed over. */
  wasTaken(): boolean {
    return isSound(this.control[ENTERED]);
  }
}

function isSound(entered: number): boolean {
  if (entered >= 0 || entered === EINTR || entered === ETIME) return true;
  if (entered === EAGAIN || entered === EBUSY) return false;
  throw new SystemCallError('io_uring_enter', -entered);
}
