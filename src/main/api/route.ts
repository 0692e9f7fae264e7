// A route: an endpoint whose query and body are parsed by schemas, and whose answers have views.
import { z } from 'zod';
import type { Principal, Scope } from '../../domain/access.ts';
import type { Ledger } from '../../domain/ledger.ts';
import type { Answer as HttpAnswer, Endpoint, RawRequestContext, RequestContext as Context } from '../http/endpoint.ts';
import { parseRequest } from './schemas.ts';
import type { ProblemCode } from '../http/problem.ts';
import type { AnswerJson, AnswerName } from './views.ts';

export type RequestContext<Query, Body> = Context<Ledger, Principal, Query, Body>;
export type RawContext = RawRequestContext<Ledger, Principal>;
export type Answer = Omit<HttpAnswer, 'json'> & { readonly json?: AnswerJson };

/** The groups of routes in the OpenAPI document, in its order. */
export const TAGS = {
  Accounts: 'Open, read, change and close accounts; their entries and balances.',
  Transfers: 'Move money between accounts, one transfer or a group of them.',
  Holds: 'Reserve money, then capture or release it.',
  Books: 'The trial balance, and the statements of accounts.',
  Events: 'What was settled, in commit order.',
  Webhooks: 'URLs to which events are posted, and what was delivered to them.',
  Approvals: 'Requests that wait for a second key, and the log of administration.',
  Ledgers: 'Sets of books that share nothing.',
  Operation: 'Health, metrics and this document.',
};

export type Route = Omit<Endpoint<Ledger, Principal>, 'admit'> & {
  /** The name of the route in the OpenAPI document, and so of the method in generated clients. It never changes. */
  readonly operationId: string;
  readonly tag: keyof typeof TAGS;
  /**
   * The scope that a caller needs. Handlers check further ones that depend on the body, such as funding:write. `open`:
   * it is answered without authentication. `any`: a caller needs a key, but no scope.
   */
  readonly scope: Scope | 'any' | 'open';
  /** Whether it shows all accounts of a ledger, so that a key for some accounts may not use it. */
  readonly wholeLedger?: boolean;
  /** Of a global route: whether a key that belongs to one ledger may use it. */
  readonly ofOwnLedger?: boolean;
  readonly summary: string;
  readonly query: z.ZodType;
  /** NO_BODY: none is read. */
  readonly body: z.ZodType;
  /** Whether it needs admission to the queue: with no room left it is refused before its body is read. */
  readonly needsAdmission?: boolean;
  /** Whether a request may leave the body out, which then counts as an empty object. */
  readonly bodyOptional?: boolean;
  /** The name of the view of each answer that is not a problem, by status; null for an empty answer. */
  readonly answers: Readonly<Record<number, AnswerName | null>>;
  /** The codes of its own problems. Those that follow from its other members are in openapi-answers.ts. */
  readonly problems: readonly ProblemCode[];
};

/** Of a route that takes no body. */
export const NO_BODY = z.undefined();

/** Defines a route whose handler gets the query and the body as their schemas parse them. */
export function defineRoute<Query extends z.ZodType, Body extends z.ZodType>(
  route: Omit<Route, 'query' | 'body' | 'takesBody' | 'handle'> & {
    query: Query;
    body: Body;
    /** If several schemas are possible, the one that fits a body: its flaws are reported, not those of the others. */
    chooseBody?: (input: unknown) => z.ZodType<z.output<Body>>;
    handle: (context: RequestContext<z.output<Query>, z.output<Body>>) => Promise<Answer>;
  },
): Route {
  const { handle, chooseBody, ...rest } = route;
  return {
    ...rest,
    takesBody: !Object.is(route.body, NO_BODY),
    async handle(context) {
      const query = parseRequest(route.query, context.query, 'parameter');
      const input = Object.is(route.body, NO_BODY)
        ? undefined
        : await context.readBody({ optional: route.bodyOptional ?? false });
      const body = parseRequest(chooseBody?.(input) ?? route.body, input);
      return await handle({ ...context, query, body });
    },
  };
}
