// An endpoint: how a request reaches its handler, and the form of an answer. It knows no schemas; see api/route.ts.
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { LogFields } from '../../request-line.ts';
import type { RequestSpan } from '../tracer.ts';
import type { Stream } from './stream.ts';

/** The ledger that a path names. The server needs its name only; endpoints may need more. */
export type NamedLedger = { readonly name: string };

/** The sender of a request. The server needs its name only, for the log; null: it has none. */
export type NamedPrincipal = { readonly id: string | null };

export type RequestContext<Ledger, Principal, Query, Body> = {
  readonly requestId: string;
  /** Whether the caller chose the request id; otherwise it was made here, a UUIDv7. */
  readonly requestIdGiven: boolean;
  readonly headers: IncomingHttpHeaders;
  /** The caller as shares count it: its key, or its network address; see shares.ts. */
  readonly caller: string;
  /** The network address of the caller. */
  readonly address: string;
  /** Who sent the request, and what it may do. */
  readonly principal: Principal;
  /** The ledger that the path names, or the caller's own. */
  readonly ledger: Ledger;
  /** The parameters of the path, in order, decoded. */
  readonly parameters: readonly string[];
  readonly query: Query;
  readonly body: Body;
  /** The span of the request; null: it is not traced. */
  readonly span: RequestSpan | null;
};

/** A request as it arrived: its query as text, its body not yet read. */
export type RawRequestContext<Ledger, Principal> = Omit<
  RequestContext<Ledger, Principal, Readonly<Record<string, string>>, never>,
  'body'
> & {
  /** Reads the body, as JSON. `optional`: an absent one counts as an empty object. */
  readonly readBody: (options: { optional: boolean }) => Promise<unknown>;
};

export type Answer = {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** A JSON body, text of another type (perhaps encoded), or a streamed body; none for an empty answer. */
  readonly json?: object;
  readonly text?: { readonly contentType: string; readonly text: string | Uint8Array };
  readonly stream?: Stream;
  /** Additional fields of the request's log line. No personal data. */
  readonly log?: LogFields;
};

/** A request that may be handled: its sender is known, and may use the endpoint. */
export type Admitted<Ledger, Principal> = {
  readonly caller: string;
  readonly address: string;
  readonly principal: Principal;
  readonly ledger: Ledger;
  /** Headers of the answer: the rate limits of the caller. */
  readonly answerHeaders: Readonly<Record<string, string>> | null;
};

export type Endpoint<Ledger, Principal> = {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  readonly pattern: string;
  readonly takesBody: boolean;
  /** Whether it belongs to no ledger, so that it has no path under /ledgers/{ledger}. */
  readonly global?: boolean;
  /** Whether it is for operators: it is answered also on connections beyond the limit. */
  readonly operational?: boolean;
  /**
   * Authenticates the sender of a request, and tests whether it may use the endpoint in the named ledger. Null: the path
   * names none. Throws a problem if it may not.
   */
  readonly admit: (
    request: IncomingMessage,
    ledgerName: string | null,
  ) => Admitted<Ledger, Principal> | Promise<Admitted<Ledger, Principal>>;
  readonly handle: (context: RawRequestContext<Ledger, Principal>) => Promise<Answer>;
};
