// What moves money: transfers, groups of them, and holds.
import { continued, dataOf, unexpected } from './answers.ts';
import { ApprovalPendingError } from './errors.ts';
import type { Http, RequestOptions, WriteOptions } from './http.ts';
import { List } from './pages.ts';
import type {
  Approval,
  Group,
  Hold,
  HoldsQuery,
  NewCapture,
  NewGroupMember,
  NewHold,
  NewReversal,
  NewTransfer,
  NewVoid,
  Transfer,
  TransfersQuery,
} from './types.ts';

export type TransferOptions = WriteOptions & {
  /** How long the service may wait for the final state, at most 30 seconds. Without it the answer may be pending. */
  readonly waitSeconds?: number | undefined;
  /** Settle for real, roll back, and return the outcome. */
  readonly dryRun?: boolean | undefined;
};

export class Transfers {
  readonly #http: Http;

  constructor(http: Http) {
    this.#http = http;
  }

  /**
   * Requests a transfer. A refused one is returned, too: look at its `status`. With `to_ledger` it moves money to an
   * account of another ledger, and is pending until both ledgers have settled it.
   */
  async create(transfer: NewTransfer, options: TransferOptions = {}): Promise<Transfer> {
    const { params, ...call } = order(this.#http, options);
    const answer = granted(await dataOf(this.#http.api.POST('/transfers', { ...call, params, body: transfer })));
    if (answer.object !== 'transfer') throw unexpected(answer);
    return answer;
  }

  /**
   * Requests up to 1,000 transfers at once. `atomic`: settle all or none. `total`: what the members sum up to, of which
   * they may be shares.
   */
  async createGroup(
    transfers: readonly NewGroupMember[],
    { atomic, total, ...options }: TransferOptions & { readonly atomic?: boolean; readonly total?: number } = {},
  ): Promise<Group> {
    const { params, ...call } = order(this.#http, options);
    const body = {
      transfers: [...transfers],
      ...(atomic !== undefined && { atomic }),
      ...(total !== undefined && { total }),
    };
    const answer = granted(await dataOf(this.#http.api.POST('/transfers', { ...call, params, body })));
    if (answer.object !== 'group') throw unexpected(answer);
    return answer;
  }

  async get(id: string, options: RequestOptions = {}): Promise<Transfer> {
    const params = { path: { id } };
    return await dataOf(this.#http.api.GET('/transfers/{id}', { ...this.#http.repeatable(options), params }));
  }

  /** Pending transfers come first, then the settled ones, the last settled first. */
  list(query: TransfersQuery = {}, options: RequestOptions = {}): List<Transfer> {
    return new List((after) =>
      dataOf(
        this.#http.api.GET('/transfers', {
          ...this.#http.repeatable(options),
          params: { query: continued(query, after) },
        }),
      ),
    );
  }

  /** Reverses a transfer or a capture, whole or in part. */
  async reverse(id: string, reversal: NewReversal = {}, options: TransferOptions = {}): Promise<Transfer> {
    const { params, ...call } = order(this.#http, options);
    const path = { path: { id } };
    return granted(
      await dataOf(
        this.#http.api.POST('/transfers/{id}/reversals', { ...call, params: { ...params, ...path }, body: reversal }),
      ),
    );
  }
}

export class Holds {
  readonly #http: Http;

  constructor(http: Http) {
    this.#http = http;
  }

  /** Reserves money. The answer is a transfer, whose id is that of the hold. */
  async create(hold: NewHold, options: TransferOptions = {}): Promise<Transfer> {
    const { params, ...call } = order(this.#http, options);
    return granted(await dataOf(this.#http.api.POST('/holds', { ...call, params, body: hold })));
  }

  async get(id: string, options: RequestOptions = {}): Promise<Hold> {
    const params = { path: { id } };
    return await dataOf(this.#http.api.GET('/holds/{id}', { ...this.#http.repeatable(options), params }));
  }

  /** Holds, the newest first. */
  list(query: HoldsQuery = {}, options: RequestOptions = {}): List<Hold> {
    return new List((after) =>
      dataOf(
        this.#http.api.GET('/holds', { ...this.#http.repeatable(options), params: { query: continued(query, after) } }),
      ),
    );
  }

  /** Moves held money: what remains, or an `amount` of it. */
  async capture(id: string, capture: NewCapture = {}, options: TransferOptions = {}): Promise<Transfer> {
    const { params, ...call } = order(this.#http, options);
    const path = { path: { id } };
    return granted(
      await dataOf(
        this.#http.api.POST('/holds/{id}/capture', { ...call, params: { ...params, ...path }, body: capture }),
      ),
    );
  }

  /** Releases what remains of a hold. */
  async void(id: string, body: NewVoid = {}, options: TransferOptions = {}): Promise<Transfer> {
    const { params, ...call } = order(this.#http, options);
    const path = { path: { id } };
    return granted(
      await dataOf(this.#http.api.POST('/holds/{id}/void', { ...call, params: { ...params, ...path }, body })),
    );
  }
}

/** What every request for a transfer has. */
function order(http: Http, { dryRun = false, ...options }: TransferOptions) {
  const query: { dry_run?: 'true' } = dryRun ? { dry_run: 'true' } : {};
  return { ...http.keyed(options), params: { query } };
}

/** The answer, unless the request waits for an approval. */
function granted<Answer extends Transfer | Group>(answer: Answer | Approval): Answer {
  if (answer.object === 'approval') throw new ApprovalPendingError(answer);
  return answer;
}
