// Runs several sources at once, and yields what any of them yields.

/**
 * At most `max` sources run at once; the next one begins when one has ended. An error of one ends all, once the others
 * have reached their next value.
 */
export async function* merge<Value>(sources: readonly AsyncGenerator<Value>[], max: number): AsyncGenerator<Value> {
  const waiting = [...sources];
  type Next = { readonly source: AsyncGenerator<Value>; readonly result: IteratorResult<Value, unknown> };
  const running = new Map<AsyncGenerator<Value>, Promise<Next>>();
  const advance = (source: AsyncGenerator<Value>) => {
    const next = source.next().then((result) => ({ source, result }));
    // An error is thrown where it is awaited. While another one is handled, none is awaited.
    next.catch(() => {});
    running.set(source, next);
  };
  const fill = () => {
    while (running.size < max) {
      const source = waiting.shift();
      if (source === undefined) return;
      advance(source);
    }
  };
  fill();
  try {
    while (running.size > 0) {
      const { source, result } = await Promise.race(running.values());
      if (result.done === true) {
        running.delete(source);
        fill();
        continue;
      }
      advance(source);
      yield result.value;
    }
  } finally {
    await Promise.allSettled(running.values());
  }
}
