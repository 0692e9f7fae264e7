// A route: how a request reaches a handler, and what the handler returns.
import type { IncomingHttpHeaders } from 'node:http';
import { z } from 'zod';
import type { Ledger } from '../domain/ledger.ts';
import type { LogFields } from '../request-line.ts';
import { parseRequest } from './schemas.ts';
import type { Stream } from './stream.ts';
import type { AnswerJson, AnswerName } from './views.ts';

export type RequestContext<Query, Body> = {
  readonly requestId: string;
  /** Whether the caller chose the request id; otherwise it was made here, a UUIDv7. */
  readonly requestIdGiven: boolean;
  readonly headers: IncomingHttpHeaders;
  /** The caller: a network address; see shares.ts. */
  readonly caller: string;
  /** The ledger that the path names, or the main one. */
  readonly ledger: Ledger;
  /** The parameters of the path, in order, decoded. */
  readonly parameters: readonly string[];
  readonly query: Query;
  readonly body: Body;
};

export type Answer = {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** A JSON body, text of another type, or a body that is written bit by bit; none for an empty answer. */
  readonly json?: AnswerJson;
  readonly text?: { readonly contentType: string; readonly text: string };
  readonly stream?: Stream;
  /** What else the request's log line tells. No personal data. */
  readonly log?: LogFields;
};

/** A request as it arrived: its query as text, its body not yet read. */
export type RawRequestContext = Omit<RequestContext<Readonly<Record<string, string>>, never>, 'body'> & {
  /** Reads the body, as JSON. `optional`: an absent one counts as an empty object. */
  readonly readBody: (options: { optional: boolean }) => Promise<unknown>;
};

export type Route = {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  readonly pattern: string;
  readonly summary: string;
  readonly query: z.ZodType;
  /** NO_BODY: none is read. */
  readonly body: z.ZodType;
  /** Whether it needs admission to the queue: with no room left it is refused before its body is read. */
  readonly needsAdmission?: boolean;
  /** Whether the route belongs to no ledger, so that it has no path under /ledgers/{ledger}. */
  readonly global?: boolean;
  /** Whether the route is for operators: it is answered also on connections beyond the limit. */
  readonly operational?: boolean;
  /** Whether a request may leave the body out, which then counts as an empty object. */
  readonly bodyOptional?: boolean;
  /** The name of the view of each answer that is not a problem, by status; null for an empty answer. */
  readonly answers: Readonly<Record<number, AnswerName | null>>;
  readonly handle: (context: RawRequestContext) => Promise<Answer>;
};

/** Of a route that takes no body. */
export const NO_BODY = z.undefined();

/** Defines a route whose handler gets the query and the body as their schemas parse them. */
export function defineRoute<Query extends z.ZodType, Body extends z.ZodType>(
  route: Omit<Route, 'query' | 'body' | 'handle'> & {
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
    async handle({ readBody, ...context }) {
      const query = parseRequest(route.query, context.query);
      const input = Object.is(route.body, NO_BODY)
        ? undefined
        : await readBody({ optional: route.bodyOptional ?? false });
      const body = parseRequest(chooseBody?.(input) ?? route.body, input);
      return await handle({ ...context, query, body });
    },
  };
}
