// Events in order of their time: a binary heap. Events of the same instant come in any order that depends on nothing else.

export class EventQueue<Event extends { readonly at: number }> {
  readonly #heap: Event[] = [];

  push(event: Event): void {
    const heap = this.#heap;
    let place = heap.length;
    heap.push(event);
    while (place > 0) {
      const parent = (place - 1) >>> 1;
      const above = heap[parent];
      if (!above || above.at <= event.at) break;
      heap[place] = above;
      place = parent;
    }
    heap[place] = event;
  }

  /** The earliest event; undefined if there is none. */
  pop(): Event | undefined {
    const heap = this.#heap;
    const [first] = heap;
    const last = heap.pop();
    if (!first || !last || heap.length === 0) return first;
    let place = 0;
    for (;;) {
      const left = 2 * place + 1;
      const [a, b] = [heap[left], heap[left + 1]];
      if (!a) break;
      const [child, below] = b && b.at < a.at ? [left + 1, b] : [left, a];
      if (below.at >= last.at) break;
      heap[place] = below;
      place = child;
    }
    heap[place] = last;
    return first;
  }
}
