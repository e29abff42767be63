/** A network that loses, delays and repeats what one process says to the cluster. */
import type { Random } from '../volume/doubles/random';
import type { SimHost } from './sim-clock';
import type { Call, Fate, Network } from './sim-etcd';

/** Probabilities of what may happen to a message. */
export interface Weather {
  readonly loss: number;
  /** A request that is under way for seconds, far longer than its caller waits. */
  readonly late: number;
  readonly again: number;
  /** Some hundred milliseconds, so that some calls end within their time and some do not. */
  readonly slow: number;
}

export const FAIR: Weather = { loss: 0, late: 0, again: 0, slow: 0 };
export const FOUL: Weather = { loss: 0.1, late: 0.1, again: 0.08, slow: 0.2 };

/** Longest way of a request that is late. */
const LATE_MS_MAX = 12_000;
const SLOW_MS_MAX = 1_500;
const WATCH_BREAK_MS_MAX = 8_000;

export class FaultyNetwork implements Network {
  /** Called once, with the next keep-alive on its way. */
  onKeepAlive: (() => void) | null = null;

  constructor(
    private readonly host: SimHost,
    private readonly random: Random,
    /** As it is now, for all. */
    private readonly weather: () => Weather,
  ) {}

  get isCut(): boolean {
    return this.host.isPartitioned;
  }

  fate({ name }: Call): Fate {
    const { random, onKeepAlive } = this;
    if (name === 'keepAlive' && onKeepAlive !== null) {
      this.onKeepAlive = null;
      onKeepAlive();
    }
    const weather = this.weather();
    const dice = random.next();
    const requestMs = this.travelMs(weather);
    const replyMs = this.travelMs(weather);
    if (dice < weather.loss) {
      const isReply = random.chance(0.6);
      return isReply ? { requestMs, replyMs: null } : { requestMs: null, replyMs: null };
    }
    if (dice < weather.loss + weather.late) {
      return { requestMs: random.next() * LATE_MS_MAX, replyMs };
    }
    if (!random.chance(weather.again)) return { requestMs, replyMs };
    return { requestMs, replyMs, againMs: requestMs + random.next() * LATE_MS_MAX };
  }

  eventMs(): number {
    return this.travelMs(this.weather());
  }

  watchBreakMs(): number {
    return this.random.next() * WATCH_BREAK_MS_MAX;
  }

  private travelMs(weather: Weather): number {
    const { random } = this;
    const slowMs = random.chance(weather.slow) ? random.next() * SLOW_MS_MAX : 0;
    return 0.2 + random.next() * 2 + slowMs;
  }
}
