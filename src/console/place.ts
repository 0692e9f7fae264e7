// The place in the console is the part of the address after #, such as #/main/accounts/alice?currency=EUR. Its first
// segment is the ledger, so a link leads to the same page for everyone who may see it.

export type Place = {
  readonly ledger: string;
  /** The segments after the ledger, decoded: ['accounts', 'alice']. */
  readonly path: readonly string[];
  readonly query: URLSearchParams;
};

export const MAIN_LEDGER = 'main';

/** Parses the part of an address from its # on. A part that is not well encoded leads to the first page. */
export function parsePlace(hash: string): Place {
  const [path = '', search = ''] = hash.replace(/^#?\/?/, '').split('?', 2);
  try {
    const [ledger = '', ...rest] = path.split('/').map(decodeURIComponent);
    return {
      ledger: ledger || MAIN_LEDGER,
      path: rest.filter((segment) => segment !== ''),
      query: new URLSearchParams(search),
    };
  } catch {
    return { ledger: MAIN_LEDGER, path: [], query: new URLSearchParams() };
  }
}

/** The address of a place, for links. Members of the query without a value are left out. */
export function hrefOf(
  ledger: string,
  path: readonly string[],
  query: Readonly<Record<string, string | null | undefined>> = {},
): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value) search.set(name, value);
  const text = search.size === 0 ? '' : `?${search}`;
  return `#/${[ledger, ...path].map(encodeURIComponent).join('/')}${text}`;
}
