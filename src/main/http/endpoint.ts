// An endpoint: how a request reaches its handler, and the form of an answer. It knows no schemas; see api/route.ts.
import type { IncomingHttpHeaders } from 'node:http';
import type { LogFields } from '../../request-line.ts';
import type { Stream } from './stream.ts';

/** The ledger that a path names. The server needs its name only; endpoints may need more. */
export type NamedLedger = { readonly name: string };

export type RequestContext<Ledger, Query, Body> = {
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

/** A request as it arrived: its query as text, its body not yet read. */
export type RawRequestContext<Ledger> = Omit<
  RequestContext<Ledger, Readonly<Record<string, string>>, never>,
  'body'
> & {
  /** Reads the body, as JSON. `optional`: an absent one counts as an empty object. */
  readonly readBody: (options: { optional: boolean }) => Promise<unknown>;
};

export type Answer = {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** A JSON body, text of another type, or a streamed body; none for an empty answer. */
  readonly json?: object;
  readonly text?: { readonly contentType: string; readonly text: string };
  readonly stream?: Stream;
  /** Additional fields of the request's log line. No personal data. */
  readonly log?: LogFields;
};

export type Endpoint<Ledger> = {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  readonly pattern: string;
  readonly takesBody: boolean;
  /** Whether it belongs to no ledger, so that it has no path under /ledgers/{ledger}. */
  readonly global?: boolean;
  /** Whether it is for operators: it is answered also on connections beyond the limit. */
  readonly operational?: boolean;
  readonly handle: (context: RawRequestContext<Ledger>) => Promise<Answer>;
};
