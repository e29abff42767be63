/** Lets a few starts run at once and keeps the others waiting in their order. */

export class StartTurns {
  private running = 0;
  private readonly waiting: (() => void)[] = [];

  constructor(private readonly atOnceMax: number) {}

  async run<T>(start: () => Promise<T>): Promise<T> {
    if (this.running >= this.atOnceMax) {
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    } else this.running++;
    try {
      return await start();
    } finally {
      // The turn is handed on, so that nobody comes between.
      const next = this.waiting.shift();
      if (next === undefined) this.running--;
      else next();
    }
  }
}
