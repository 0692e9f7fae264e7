// What a route is: how a request comes to a handler, and what the handler gives back.
import type { IncomingHttpHeaders } from 'node:http';
import type { z } from 'zod';
import type { Stream } from './stream.ts';

export type Exchange<Query, Body> = {
  readonly requestId: string;
  /** Whether the caller chose the request id; otherwise it was made here, a UUIDv7. */
  readonly requestIdGiven: boolean;
  readonly headers: IncomingHttpHeaders;
  /** The parameters of the path, in order, decoded. */
  readonly parameters: readonly string[];
  readonly query: Query;
  readonly body: Body;
};

export type Answer = {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** A JSON body, text of another type, or a body that is written bit by bit; none for an empty answer. */
  readonly json?: Record<string, unknown>;
  readonly text?: { readonly contentType: string; readonly text: string };
  readonly stream?: Stream;
  /** What else the request's log line tells. No personal data. */
  readonly log?: Readonly<Record<string, unknown>>;
};

export type Route = {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  readonly pattern: string;
  readonly summary: string;
  readonly query: z.ZodType;
  /** Null: the route has no body. */
  readonly body: z.ZodType | null;
  /** Where several schemas are possible, the one that a body means, so that its flaws are told and not those of the others. */
  readonly chooseBody?: (input: unknown) => z.ZodType;
  /** Whether a request may leave the body out, which then counts as an empty object. */
  readonly bodyOptional?: boolean;
  /** The name of the schema of each answer that is not a problem, or null for an empty one; see openapi.ts. */
  readonly answers: Readonly<Record<number, string | null>>;
  readonly handle: (exchange: Exchange<unknown, unknown>) => Promise<Answer>;
};

/** Defines a route whose handler gets the query and the body as their schemas parse them. */
export function defineRoute<Query extends z.ZodType, Body extends z.ZodType | null>(
  route: Omit<Route, 'query' | 'body' | 'handle'> & {
    query: Query;
    body: Body;
    handle: (exchange: Exchange<z.output<Query>, Body extends z.ZodType ? z.output<Body> : null>) => Promise<Answer>;
  },
): Route {
  // The server parses both with these schemas before it calls the handler.
  return route as unknown as Route;
}
