// The router: finds the route of a method and a path. A pattern's segment that begins with a colon is a parameter.
import { Problem } from './problem.ts';

/** A path without the ledger that it names. `ledger` and `prefix` are empty if it names none. */
export type LedgerPath = { readonly ledger: string; readonly prefix: string; readonly path: string };

const LEDGER_PATH = /^(\/ledgers\/([^/]+))(\/.*)$/s;

/** Splits a path such as `/ledgers/shop/accounts`. The path `/ledgers/shop` of a ledger itself is not split. */
export function splitLedger(path: string): LedgerPath {
  const [, prefix = '', ledger = '', rest = path] = LEDGER_PATH.exec(path) ?? [];
  return { ledger: decode(ledger), prefix, path: rest };
}

/**
 * A path without the prefix at which a proxy serves the service. A proxy may remove it before, and probes that do not
 * pass the proxy have none, so a path without it is left as it is.
 */
export function withoutBase(path: string, basePath: string): string {
  return basePath !== '' && path.startsWith(`${basePath}/`) ? path.slice(basePath.length) : path;
}

export type Match<Route> = { readonly route: Route; readonly parameters: readonly string[] };

type Node<Route> = {
  readonly children: Map<string, Node<Route>>;
  parameter: Node<Route> | null;
  readonly methods: Map<string, Route>;
};

export class Router<Route> {
  readonly #root: Node<Route> = createNode();

  /** Adds a route, for example `add('GET', '/accounts/:account_number', route)`. */
  add(method: string, pattern: string, route: Route): void {
    let node = this.#root;
    for (const segment of pattern.split('/').slice(1)) {
      if (segment.startsWith(':')) {
        node = node.parameter ??= createNode();
        continue;
      }
      const child = node.children.get(segment) ?? createNode();
      node.children.set(segment, child);
      node = child;
    }
    if (node.methods.has(method)) throw new Error(`There are two routes for ${method} ${pattern}.`);
    node.methods.set(method, route);
  }

  /**
   * The route for a request; HEAD uses that of GET. Throws not_found, method_not_allowed (with Allow) and
   * invalid_request.
   */
  find(method: string, path: string): Match<Route> {
    const { methods, parameters } = this.#look(path);
    const route = methods.get(method === 'HEAD' ? 'GET' : method);
    if (route === undefined) {
      const allow = renderAllow(methods);
      throw new Problem('method_not_allowed', `The methods of this path are ${allow}.`, { headers: { Allow: allow } });
    }
    return { route, parameters };
  }

  /** The methods of a path, or of all paths for `*`, as the header Allow lists them. */
  allowOf(path: string): string {
    return renderAllow(path === '*' ? this.#allMethods() : this.#look(path).methods);
  }

  #look(path: string): { methods: ReadonlyMap<string, Route>; parameters: string[] } {
    const parameters: string[] = [];
    let node: Node<Route> | null = this.#root;
    for (const segment of path.split('/').slice(1)) {
      const child: Node<Route> | undefined = node.children.get(segment);
      if (child) {
        node = child;
        continue;
      }
      node = segment === '' ? null : node.parameter;
      if (node === null) break;
      parameters.push(decode(segment));
    }
    if (node === null || node.methods.size === 0) {
      throw new Problem('not_found', 'There is nothing at this path; /openapi.json lists the paths.');
    }
    return { methods: node.methods, parameters };
  }

  #allMethods(): ReadonlyMap<string, Route> {
    const all = new Map<string, Route>();
    const visit = (node: Node<Route>): void => {
      for (const [method, route] of node.methods) all.set(method, route);
      for (const child of node.children.values()) visit(child);
      if (node.parameter) visit(node.parameter);
    };
    visit(this.#root);
    return all;
  }
}

function renderAllow(methods: ReadonlyMap<string, unknown>): string {
  const own = [...methods.keys()].flatMap((method) => (method === 'GET' ? ['GET', 'HEAD'] : [method]));
  return [...own, 'OPTIONS'].join(', ');
}

function createNode<Route>(): Node<Route> {
  return { children: new Map(), parameter: null, methods: new Map() };
}

function decode(segment: string): string {
  if (!segment.includes('%')) return segment;
  try {
    return decodeURIComponent(segment);
  } catch {
    throw new Problem('invalid_request', 'The path is not correctly percent-encoded.');
  }
}
