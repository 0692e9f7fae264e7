// What concerns a ledger as a whole, and the ledgers of the service.
import { continued, dataOf } from './answers.ts';
import type { Http, RequestOptions, WriteOptions } from './http.ts';
import { List } from './pages.ts';
import type {
  Approval,
  ApprovalsQuery,
  AuditLogEntry,
  AuditLogQuery,
  Ledger,
  LedgersQuery,
  NewLedger,
  TrialBalance,
  TrialBalanceQuery,
} from './types.ts';

/** The trial balance: what all accounts together have. */
export class Balances {
  readonly #http: Http;

  constructor(http: Http) {
    this.#http = http;
  }

  async get(query: TrialBalanceQuery = {}, options: RequestOptions = {}): Promise<TrialBalance> {
    return await dataOf(this.#http.api.GET('/balances', { ...this.#http.repeatable(options), params: { query } }));
  }
}

/** Requests that wait for a second key. */
export class Approvals {
  readonly #http: Http;

  constructor(http: Http) {
    this.#http = http;
  }

  async get(id: string, options: RequestOptions = {}): Promise<Approval> {
    const params = { path: { id } };
    return await dataOf(this.#http.api.GET('/approvals/{id}', { ...this.#http.repeatable(options), params }));
  }

  list(query: ApprovalsQuery = {}, options: RequestOptions = {}): List<Approval> {
    return new List((after) =>
      dataOf(
        this.#http.api.GET('/approvals', {
          ...this.#http.repeatable(options),
          params: { query: continued(query, after) },
        }),
      ),
    );
  }

  /** Approves or rejects a request. Sent again, a decision has no second effect, so it needs no key. */
  async decide(id: string, decision: 'approve' | 'reject', options: RequestOptions = {}): Promise<Approval> {
    return await dataOf(
      this.#http.api.POST('/approvals/{id}', {
        ...this.#http.repeatable(options),
        params: { path: { id } },
        body: { decision },
      }),
    );
  }
}

/** What was administered, and what was refused. */
export class AuditLog {
  readonly #http: Http;

  constructor(http: Http) {
    this.#http = http;
  }

  list(query: AuditLogQuery = {}, options: RequestOptions = {}): List<AuditLogEntry> {
    return new List((after) =>
      dataOf(
        this.#http.api.GET('/audit-log', {
          ...this.#http.repeatable(options),
          params: { query: continued(query, after) },
        }),
      ),
    );
  }
}

/** The test clock of a ledger that was created with `clock: 'manual'`. */
export class Clock {
  readonly #http: Http;

  constructor(http: Http) {
    this.#http = http;
  }

  /** Advances the clock. The holds that are due at the new time have expired when this resolves, or soon after. */
  async advance(now: string, options: WriteOptions = {}): Promise<Ledger> {
    return await dataOf(this.#http.api.POST('/clock', { ...this.#http.keyed(options), body: { now } }));
  }
}

export class Ledgers {
  readonly #http: Http;

  constructor(http: Http) {
    this.#http = http;
  }

  async create(ledger: NewLedger, options: WriteOptions = {}): Promise<Ledger> {
    return await dataOf(this.#http.global.POST('/ledgers', { ...this.#http.keyed(options), body: ledger }));
  }

  async get(name: string, options: RequestOptions = {}): Promise<Ledger> {
    const params = { path: { ledger: name } };
    return await dataOf(this.#http.global.GET('/ledgers/{ledger}', { ...this.#http.repeatable(options), params }));
  }

  list(query: LedgersQuery = {}, options: RequestOptions = {}): List<Ledger> {
    return new List((after) =>
      dataOf(
        this.#http.global.GET('/ledgers', {
          ...this.#http.repeatable(options),
          params: { query: continued(query, after) },
        }),
      ),
    );
  }
}
