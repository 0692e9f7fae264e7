// Lists, read page by page.
export type Page<Item> = {
  readonly items: readonly Item[];
  /** Send it as `after` for the page that follows; null at the end. */
  readonly next: string | null;
};

/** A list: `for await` reads its items, and `pages()` its pages. Nothing is requested before. */
export class List<Item> implements AsyncIterable<Item> {
  readonly #load: (after: string | undefined) => Promise<Page<Item>>;

  /** `load` reads the page after a cursor, or the first page. */
  constructor(load: (after: string | undefined) => Promise<Page<Item>>) {
    this.#load = load;
  }

  /** The pages. `next` of each is where a later run can continue. */
  async *pages(): AsyncGenerator<Page<Item>, void, undefined> {
    for (let after: string | undefined; ;) {
      const page = await this.#load(after);
      yield page;
      if (page.next === null) return;
      after = page.next;
    }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Item, void, undefined> {
    for await (const { items } of this.pages()) yield* items;
  }
}
