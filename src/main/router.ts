// The router: finds the route of a method and a path. A pattern's segment that begins with a colon is a parameter.
import { Problem } from './problem.ts';

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

  /** The route for a request. Throws the problems not_found, method_not_allowed (with Allow) and invalid_request. */
  find(method: string, path: string): Match<Route> {
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
      throw new Problem('not_found', 'There is nothing at this path; /openapi.json lists what there is.');
    }
    const route = node.methods.get(method);
    if (route === undefined) {
      const allow = [...node.methods.keys()].join(', ');
      throw new Problem('method_not_allowed', `This path has ${allow}.`, { headers: { allow } });
    }
    return { route, parameters };
  }
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
