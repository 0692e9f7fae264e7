// Pages of lists: at most 1 MiB of JSON, and the cursor of the next page.
import { invalidRequest, Problem, toValidationError, withErrors } from '../http/problem.ts';
import type { Answer } from './route.ts';

/** Metadata may make one item 8 KB large, and a page has up to 1000 of them. */
export const PAGE_BYTES_MAX = 1024 * 1024;

/** Renders the first items as JSON: at most `limit` and PAGE_BYTES_MAX, but at least one item. */
export function renderItems<Item>(items: readonly Item[], limit: number, render: (item: Item) => object): string[] {
  const texts: string[] = [];
  let bytes = 0;
  for (const item of items.slice(0, limit)) {
    const text = JSON.stringify(render(item));
    bytes += Buffer.byteLength(text) + 1;
    if (bytes > PAGE_BYTES_MAX && texts.length > 0) break;
    texts.push(text);
  }
  return texts;
}

/** A page of a list: the rendered items, and the cursor of the next page, or null at the end. */
export function renderPage(items: readonly string[], next: string | number | null): Pick<Answer, 'text'> {
  const text = `{"object":"list","items":[${items.join(',')}],"next":${JSON.stringify(next)}}`;
  return { text: { contentType: 'application/json', text } };
}

/**
 * A page of rows of which one more than `limit` was read, if there are more. `cursorOf`: the cursor after a row.
 */
export function renderRows<Row>(
  rows: readonly Row[],
  limit: number,
  render: (row: Row) => object,
  cursorOf: (row: Row) => string,
): Pick<Answer, 'text'> {
  const items = renderItems(rows, limit, render);
  const last = rows.length > items.length ? rows[items.length - 1] : undefined;
  return renderPage(items, last === undefined ? null : cursorOf(last));
}

/** 400: the query parameter `after` is not the cursor of a page. */
export function invalidCursor(): Problem {
  return invalidRequest([toValidationError(['after'], 'must be the `next` of the previous page')]);
}

/** 400: these filters of a list have no index, and no other filter bounds what it reads. */
export function filterTooWide(filters: readonly string[], detail: string): Problem {
  const errors = filters.map((filter) => toValidationError([filter], 'has no index, and needs another filter'));
  return withErrors(new Problem('filter_too_wide', detail), errors);
}
