/** Which member the next call goes to. */
import { assert } from '../assert';
import { MEMBER_AVOIDED_MS } from './limits';

interface Avoidable {
  avoidedUntilMs: number;
}

/** Stays with one member until it fails. */
export class Members<Member extends Avoidable> {
  constructor(
    readonly all: readonly Member[],
    private current = 0,
  ) {
    assert(current >= 0 && current < all.length, 'the first member is one of them');
  }

  /** The first that is not avoided, from the current one on; where all are, the one that is longest. */
  pick(nowMs: number): Member {
    const ordered = [...this.all.slice(this.current), ...this.all.slice(0, this.current)];
    const sound = ordered.find((member) => member.avoidedUntilMs <= nowMs);
    if (sound !== undefined) return sound;
    return ordered.reduce((first, member) =>
      member.avoidedUntilMs < first.avoidedUntilMs ? member : first,
    );
  }

  failed(member: Member, nowMs: number): void {
    member.avoidedUntilMs = nowMs + MEMBER_AVOIDED_MS;
    const index = this.all.indexOf(member);
    if (index === this.current) this.current = (index + 1) % this.all.length;
  }

  succeeded(member: Member): void {
    member.avoidedUntilMs = 0;
    this.current = this.all.indexOf(member);
  }
}
