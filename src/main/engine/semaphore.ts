// Bounds how many pieces of work run at once. The others wait in the order of their arrival.

export class Semaphore {
  readonly #waiting: (() => void)[] = [];
  #free: number;

  constructor(runningMax: number) {
    this.#free = runningMax;
  }

  async run<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await work();
    } finally {
      // The turn passes to the next waiter, so that newly arrived work does not overtake it.
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free += 1;
    }
  }
}
