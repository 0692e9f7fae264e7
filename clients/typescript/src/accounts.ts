// Accounts, and what is read of one of them.
import { continued, dataOf, unexpected } from './answers.ts';
import { ApprovalPendingError } from './errors.ts';
import type { Http, RequestOptions, WriteOptions } from './http.ts';
import { List } from './pages.ts';
import type {
  Account,
  AccountUpdate,
  AccountsQuery,
  Balance,
  BalanceQuery,
  EntriesQuery,
  Entry,
  NewAccount,
  Statement,
  StatementQuery,
} from './types.ts';

/** `ifMatch`: the `etag` of the account that the caller has read. */
export type ConditionalOptions = RequestOptions & { readonly ifMatch?: string };

function headerOf(ifMatch: string | undefined): { 'If-Match'?: string } {
  return ifMatch === undefined ? {} : { 'If-Match': ifMatch };
}

export class Accounts {
  readonly #http: Http;

  constructor(http: Http) {
    this.#http = http;
  }

  /** Opens an account. */
  async create(account: NewAccount, options: WriteOptions = {}): Promise<Account> {
    const answer = await dataOf(this.#http.api.POST('/accounts', { ...this.#http.keyed(options), body: account }));
    if (answer.object !== 'account') throw unexpected(answer);
    return answer;
  }

  /** Opens up to 1,000 accounts, all or none. */
  async createAll(accounts: readonly NewAccount[], options: WriteOptions = {}): Promise<Account[]> {
    const body = { accounts: [...accounts] };
    const answer = await dataOf(this.#http.api.POST('/accounts', { ...this.#http.keyed(options), body }));
    if (answer.object !== 'accounts') throw unexpected(answer);
    return answer.accounts;
  }

  /** `currency` selects one of the accounts of @external. */
  async get(accountNumber: string, query: { currency?: string } = {}, options: RequestOptions = {}): Promise<Account> {
    const params = { path: { account_number: accountNumber }, query };
    return await dataOf(
      this.#http.api.GET('/accounts/{account_number}', { ...this.#http.repeatable(options), params }),
    );
  }

  /**
   * The account with the `etag` of the answer, or null if it has none. As `ifMatch` of a change, the tag keeps the change
   * from undoing that of another caller.
   */
  async getTagged(
    accountNumber: string,
    query: { currency?: string } = {},
    options: RequestOptions = {},
  ): Promise<{ account: Account; etag: string | null }> {
    const params = { path: { account_number: accountNumber }, query };
    const call = this.#http.api.GET('/accounts/{account_number}', { ...this.#http.repeatable(options), params });
    const account = await dataOf(call);
    return { account, etag: (await call).response.headers.get('ETag') };
  }

  list(query: AccountsQuery = {}, options: RequestOptions = {}): List<Account> {
    return new List((after) =>
      dataOf(
        this.#http.api.GET('/accounts', {
          ...this.#http.repeatable(options),
          params: { query: continued(query, after) },
        }),
      ),
    );
  }

  /**
   * Changes the members that are present. Null: the key may change accounts and not read them. A lost answer is not
   * followed by another attempt, which could undo a later change of another caller. With `ifMatch`, it throws
   * precondition_failed if the account was changed since.
   */
  async update(
    accountNumber: string,
    change: AccountUpdate,
    { ifMatch, ...options }: ConditionalOptions = {},
  ): Promise<Account | null> {
    const { data = null } = await this.#http.api.PATCH('/accounts/{account_number}', {
      ...this.#http.once(options),
      params: { path: { account_number: accountNumber }, header: headerOf(ifMatch) },
      body: change,
    });
    if (data?.object === 'approval') throw new ApprovalPendingError(data);
    return data;
  }

  /** Closes an account; its history stays. */
  async close(accountNumber: string, { ifMatch, ...options }: ConditionalOptions = {}): Promise<void> {
    const params = { path: { account_number: accountNumber }, header: headerOf(ifMatch) };
    await this.#http.api.DELETE('/accounts/{account_number}', { ...this.#removal(ifMatch, options), params });
  }

  /** Erases name, email, phone and date of birth, for ever. */
  async erasePersonalData(accountNumber: string, { ifMatch, ...options }: ConditionalOptions = {}): Promise<void> {
    const params = { path: { account_number: accountNumber }, header: headerOf(ifMatch) };
    const call = { ...this.#removal(ifMatch, options), params };
    await this.#http.api.DELETE('/accounts/{account_number}/personal-data', call);
  }

  /** With a tag, another attempt would be refused if the first one succeeded. */
  #removal(ifMatch: string | undefined, options: RequestOptions) {
    return ifMatch === undefined ? this.#http.repeatable(options) : this.#http.once(options);
  }

  /** The entries of an account, the newest first unless `order` says otherwise. */
  entries(accountNumber: string, query: EntriesQuery = {}, options: RequestOptions = {}): List<Entry> {
    return new List((after) =>
      dataOf(
        this.#http.api.GET('/accounts/{account_number}/entries', {
          ...this.#http.repeatable(options),
          params: { path: { account_number: accountNumber }, query: continued(query, after) },
        }),
      ),
    );
  }

  /** The balance at an instant, or now. */
  async balance(accountNumber: string, query: BalanceQuery = {}, options: RequestOptions = {}): Promise<Balance> {
    const params = { path: { account_number: accountNumber }, query };
    return await dataOf(
      this.#http.api.GET('/accounts/{account_number}/balance', { ...this.#http.repeatable(options), params }),
    );
  }
}

/** The statement of a month, such as `2026-11`. */
export class Statements {
  readonly #http: Http;

  constructor(http: Http) {
    this.#http = http;
  }

  async get(
    accountNumber: string,
    month: string,
    { currency }: Pick<StatementQuery, 'currency'> = {},
    options: RequestOptions = {},
  ): Promise<Statement> {
    const query = currency === undefined ? {} : { currency };
    return await dataOf(
      this.#http.api.GET('/accounts/{account_number}/statements/{month}', {
        ...this.#http.repeatable(options),
        params: { path: { account_number: accountNumber, month }, query },
      }),
    );
  }

  /** The statement as CSV, or as a page that prints well. */
  async text(
    accountNumber: string,
    month: string,
    query: StatementQuery & { format: 'csv' | 'html' },
    options: RequestOptions = {},
  ): Promise<string> {
    return await dataOf(
      this.#http.api.GET('/accounts/{account_number}/statements/{month}', {
        ...this.#http.repeatable(options, `text/${query.format}`),
        params: { path: { account_number: accountNumber, month }, query },
        parseAs: 'text',
      }),
    );
  }
}
