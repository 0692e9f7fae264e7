// Who orders a request, and what it may do. docs/SECURITY.md describes keys, scopes and limits for operators.

/** What a caller may be allowed to do. Each route names the scope that it needs. */
export const SCOPES = [
  'accounts:read',
  /** Open accounts, and change their names, contacts and metadata. */
  'accounts:write',
  /** Set overdraft limits, freeze, close, and erase personal data. */
  'accounts:admin',
  'transfers:read',
  'transfers:write',
  /** Move money from or to @external, opening balances included. */
  'funding:write',
  /** Authorize, capture and void. */
  'holds:write',
  'reversals:write',
  'events:read',
  'webhooks:read',
  /** Have the events of a ledger sent to a URL. */
  'webhooks:write',
  /** Statements, the trial balance and the audit log. */
  'statements:read',
  /** Create and list ledgers. */
  'ledgers:admin',
  'metrics:read',
] as const;

export type Scope = (typeof SCOPES)[number];

/** Bounds of one caller, besides its scopes. Null: none. */
export type AccessLimits = {
  /** Every account that a request names begins with this text, except @external. */
  readonly accountPrefix: string | null;
  /** The largest amount of one transfer, in minor units of its currency. */
  readonly amountMax: bigint | null;
  /** The largest sum of amounts that are ordered in one day (UTC), in minor units, whatever the currency. */
  readonly dailyAmountMax: bigint | null;
  /** Requests per second. */
  readonly requestsPerSecond: number | null;
};

/** An authenticated caller. */
export type Principal = {
  /**
   * Who ordered, as the journal records it: the id of a key, or the subject of a token. Null: the service has no keys
   * and listens on loopback only.
   */
  readonly id: string | null;
  /** The name of the ledger that the caller may use. Null: any. */
  readonly ledger: string | null;
  readonly scopes: ReadonlySet<Scope>;
  readonly limits: AccessLimits;
};

export const NO_LIMITS: AccessLimits = {
  accountPrefix: null,
  amountMax: null,
  dailyAmountMax: null,
  requestsPerSecond: null,
};

export function isScope(text: string): text is Scope {
  return SCOPES.some((scope) => scope === text);
}
