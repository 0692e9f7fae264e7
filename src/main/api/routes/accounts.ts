// The handlers of accounts: open, show, list, change, close, and their entries and balances.
import { z } from 'zod';
import {
  type AccountRecord,
  sealAccount,
  listAccounts,
  loadAccounts,
  loadPersonalAccounts,
  updateAccount,
  type VersionedAccount,
} from '../../../db/ledger/accounts.ts';
import { type Entry, listEntries, loadBalanceAt } from '../../../db/queries/entries.ts';
import type { ConnectionPool } from '../../../db/connection/connect.ts';
import { constraintOf } from '../../../db/connection/errors.ts';
import { withTransaction } from '../../../db/connection/transaction.ts';
import { isOwnedByService } from '../../../domain/between-ledgers.ts';
import { CURRENCY_FORM } from '../../../domain/currency.ts';
import type { Ledger } from '../../../domain/ledger.ts';
import { wordsOf } from '../../../domain/name-words.ts';
import { askApproval, exceedsRule } from '../approvals.ts';
import { keepAccount } from '../kept-transfers.ts';
import { createAccounts } from '../opening.ts';
import { requireScope } from '../permissions.ts';
import { isKnown, renderTag, requireUnchanged } from '../preconditions.ts';
import { Problem, refuseFlaws, toValidationError, withErrors } from '../../http/problem.ts';
import { type Answer, defineRoute, type RequestContext, NO_BODY, type Route } from '../route.ts';
import {
  anyAccount,
  balanceSchema,
  createAccountSchema,
  createAccountsSchema,
  IMMUTABLE_FIELDS,
  listAccountsSchema,
  listEntriesSchema,
  NO_PARAMETERS,
  parseRequest,
  readAccountSchema,
  updateAccountSchema,
} from '../schemas.ts';
import { invalidCursor, renderItems, renderPage, renderRows } from '../pages.ts';
import { renderBalance, renderEntry } from '../entry-views.ts';
import { renderAccount } from '../views.ts';
import type { Services } from '../reads.ts';
import { awaitClosed } from './instants.ts';

/** A ledger, and the pool from which it is read. */
type Books = { readonly pool: ConnectionPool; readonly ledger: Ledger };

export function accountRoutes(services: Services): Route[] {
  return [...routesOfAccounts(services), ...routesOfChanges(services), ...routesOfHistory(services)];
}

function routesOfAccounts(services: Services): Route[] {
  return [
    defineRoute({
      operationId: 'createAccount',
      tag: 'Accounts',
      method: 'POST',
      pattern: '/accounts',
      scope: 'accounts:write',
      summary: 'Open an account, or several at once',
      query: NO_PARAMETERS,
      needsAdmission: true,
      body: createAccountSchema.or(createAccountsSchema),
      chooseBody: (input) =>
        typeof input === 'object' && input !== null && Object.hasOwn(input, 'accounts')
          ? createAccountsSchema
          : createAccountSchema,
      answers: { 201: 'AccountOrAccounts' },
      problems: ['account_exists', 'group_too_large', 'daily_limit_reached', 'approval_required'],
      handle: async (context) => await createAccounts(services, context),
    }),
    defineRoute({
      operationId: 'listAccounts',
      tag: 'Accounts',
      method: 'GET',
      pattern: '/accounts',
      scope: 'accounts:read',
      summary: 'Accounts, in order of number',
      query: listAccountsSchema,
      body: NO_BODY,
      answers: { 200: 'AccountPage' },
      problems: ['filter_too_wide', 'query_too_slow'],
      handle: async ({ ledger, principal, query, caller }) => {
        // Before the queue for connections: a refusal needs none.
        refuseWideFilter(query);
        const { accountPrefix } = principal.limits;
        return await services.scans.run(caller, (pool) => showAccounts({ pool, ledger }, query, accountPrefix));
      },
    }),
    defineRoute({
      operationId: 'getAccount',
      tag: 'Accounts',
      method: 'GET',
      pattern: '/accounts/:account_number',
      scope: 'accounts:read',
      summary: 'One account',
      query: readAccountSchema,
      body: NO_BODY,
      answers: { 200: 'Account', 304: null },
      problems: ['account_not_found'],
      async handle({ ledger, parameters, query, caller, headers }) {
        const account = await services.lookUps.run(caller, (pool) =>
          findPersonalAccount({ pool, ledger }, parameters[0], query.currency),
        );
        const tag = renderTag(account);
        if (isKnown(headers, tag)) return { status: 304, headers: { ETag: tag } };
        return { status: 200, headers: { ETag: tag }, json: renderAccount(account) };
      },
    }),
  ];
}

function routesOfChanges(services: Services): Route[] {
  return [
    defineRoute({
      operationId: 'updateAccount',
      tag: 'Accounts',
      method: 'PATCH',
      pattern: '/accounts/:account_number',
      scope: 'accounts:write',
      summary: 'Change an account: anything but its balance and its currency',
      query: NO_PARAMETERS,
      body: updateAccountSchema,
      // The handler checks the other fields: the schema would report an immutable field as unknown.
      chooseBody: () => z.looseObject(updateAccountSchema.shape),
      answers: { 200: 'Account', 202: 'Approval', 204: null },
      problems: [
        'account_not_found',
        'account_closed',
        'personal_data_erased',
        'immutable_field',
        'overdraft_in_use',
        'approval_required',
        'precondition_failed',
      ],
      handle: async (context) => await changeAccount(services, context),
    }),
  ];
}

function routesOfHistory(services: Services): Route[] {
  return [
    defineRoute({
      operationId: 'listEntries',
      tag: 'Accounts',
      method: 'GET',
      pattern: '/accounts/:account_number/entries',
      scope: 'accounts:read',
      summary: "An account's history",
      query: listEntriesSchema,
      body: NO_BODY,
      answers: { 200: 'EntryPage' },
      problems: ['account_not_found', 'archived'],
      handle: async ({ ledger, parameters, query, caller }) =>
        await services.lookUps.run(caller, (pool) => showEntries({ pool, ledger }, parameters[0], query)),
    }),
    defineRoute({
      operationId: 'getBalance',
      tag: 'Accounts',
      method: 'GET',
      pattern: '/accounts/:account_number/balance',
      scope: 'accounts:read',
      summary: 'The balance at an instant',
      query: balanceSchema,
      body: NO_BODY,
      answers: { 200: 'Balance' },
      problems: ['account_not_found', 'instant_not_closed', 'clock_is_earlier', 'archived'],
      async handle({ ledger, parameters, query, caller }) {
        // Outside the queue for connections, because it may wait for a second.
        if (query.at !== undefined) await awaitClosed(services.engine.pool, ledger, query.at);
        return await services.lookUps.run(caller, (pool) => showBalance({ pool, ledger }, parameters[0], query));
      },
    }),
  ];
}

/**
 * Refuses a metadata key without a value: the index has pairs of key and value, so the list would read every account.
 * No other filter of accounts bounds this.
 */
function refuseWideFilter({ metadata }: z.output<typeof listAccountsSchema>): void {
  if (metadata?.value !== null) return;
  throw new Problem('filter_too_wide', 'A key without a value has no index. Add the value: `metadata=key:value`.');
}

async function showAccounts(
  books: Books,
  query: z.output<typeof listAccountsSchema>,
  prefix: string | null,
): Promise<Answer> {
  // The cursor is the number and the currency of the last account of the page.
  const [currency = '', ...number] = query.after?.split(':').reverse() ?? [];
  const accountNumber = number.reverse().join(':');
  const isCursor = anyAccount.safeParse(accountNumber).success && CURRENCY_FORM.test(currency);
  if (query.after !== undefined && !isCursor) throw invalidCursor();
  const after = query.after === undefined ? null : { accountNumber, currency };
  const { status = null, metadata = null } = query;
  const words = wordsOf(query.name ?? '');
  const filter = { prefix, words, status, currency: query.currency ?? null, metadata };
  const page = { limit: query.limit + 1, after, ascending: query.order === 'asc' };
  // No word would be no filter.
  const findsNone = query.name !== undefined && words.length === 0;
  const accounts = findsNone ? [] : await listAccounts(books.pool, books.ledger, filter, page);
  return {
    status: 200,
    ...renderRows(accounts, query.limit, renderAccount, (row) => `${row.accountNumber}:${row.currency}`),
  };
}

async function changeAccount(
  services: Services,
  context: RequestContext<unknown, Record<string, unknown>>,
): Promise<Answer> {
  const { ledger, principal, caller, body, headers } = context;
  refuseImmutable(body);
  const change = parseRequest(updateAccountSchema, body);
  const isAdministrative = change.overdraft_limit !== undefined || change.status !== undefined;
  if (isAdministrative) requireScope(principal, 'accounts:admin');
  const account = await findOwn(services, context);
  const limit = change.overdraft_limit;
  if (limit !== undefined && exceedsRule(services, context, BigInt(limit))) {
    if (Object.keys(change).length > 1) {
      throw new Problem(
        'approval_required',
        'Change an overdraft limit that needs an approval in a request of its own.',
      );
    }
    await services.lookUps.run(
      caller,
      async (pool) => await requireUnchanged(pool, ledger, account.accountNumber, headers),
    );
    const kept = { accountNumber: account.accountNumber, overdraftLimit: BigInt(limit) };
    const facts = { account: account.accountNumber, overdraft_limit: limit };
    const asking = { ...context, idempotency: null };
    const asked = await askApproval(services, asking, {
      kind: 'account',
      request: keepAccount(kept),
      facts,
      amount: 0n,
    });
    if ('answer' in asked) return asked.answer;
  }
  try {
    const updated = await services.changes.run(
      caller,
      async (pool) =>
        await withTransaction(pool, async (connection) => {
          await requireUnchanged(connection, ledger, account.accountNumber, headers);
          const record = await updateAccount(connection, ledger, account.accountNumber, {
            personalData: {
              name: change.name,
              email: change.email,
              phone: change.phone,
              dateOfBirth: change.date_of_birth,
            },
            overdraftLimit: change.overdraft_limit === undefined ? undefined : BigInt(change.overdraft_limit),
            metadata: change.metadata,
            status: change.status,
          });
          if (typeof record !== 'string') {
            await sealAccount(connection, ledger, record, { orderedBy: principal.id, approvedBy: null });
          }
          return record;
        }),
    );
    if (updated === 'closed') throw new Problem('account_closed', 'A closed account cannot be changed.');
    if (updated === 'erased') {
      throw new Problem('personal_data_erased', 'Name, email, phone and date of birth cannot be set again.');
    }
    // What the account has, personal data included, is for those who may read it.
    if (!principal.scopes.has('accounts:read')) return { status: 204 };
    return { status: 200, headers: { ETag: renderTag(updated) }, json: renderAccount(updated) };
  } catch (error) {
    if (constraintOf(error) !== 'accounts_no_overdraft') throw error;
    const problem = new Problem('overdraft_in_use', 'The account has already drawn more than this limit.');
    throw withErrors(problem, [toValidationError(['overdraft_limit'], 'must not be below what is drawn or held')]);
  }
}

function refuseImmutable(body: Record<string, unknown>): void {
  const immutable = IMMUTABLE_FIELDS.filter((field) => Object.hasOwn(body, field));
  refuseFlaws(
    immutable.map((field) => {
      const hint = field === 'balance' ? 'only transfers move money' : 'it is fixed when the account is opened';
      const problem = new Problem('immutable_field', `The field ${field} cannot be changed: ${hint}.`);
      return { problem, error: toValidationError([field], 'cannot be changed') };
    }),
  );
}

async function showEntries(
  books: Books,
  accountNumber: string | undefined,
  query: z.output<typeof listEntriesSchema>,
): Promise<Answer> {
  if (query.after !== undefined && !/^\d{1,18}$/.test(query.after)) {
    throw invalidCursor();
  }
  const account = await findAccount(books, accountNumber, query.currency);
  const { entries, isCut } = await listEntries(books.pool, books.ledger, account, {
    limit: query.limit + 1,
    after: query.after === undefined ? null : BigInt(query.after),
    newestFirst: query.order === 'newest',
    since: query.since ?? null,
    until: query.until ?? null,
  });
  const cursorOf = ({ entryNumber }: Entry) => String(entryNumber);
  const last = entries.at(-1);
  // The next page says that the entries before are archived.
  if (isCut && last && entries.length <= query.limit) {
    return { status: 200, ...renderPage(renderItems(entries, query.limit, renderEntry), cursorOf(last)) };
  }
  return { status: 200, ...renderRows(entries, query.limit, renderEntry, cursorOf) };
}

async function showBalance(
  books: Books,
  accountNumber: string | undefined,
  query: z.output<typeof balanceSchema>,
): Promise<Answer> {
  const account = await findAccount(books, accountNumber, query.currency);
  const at = query.at ?? null;
  const balance =
    at === null
      ? { balance: account.balance, entryNumber: account.entryCount }
      : await loadBalanceAt(books.pool, books.ledger, account, at);
  return { status: 200, json: renderBalance(account, at, balance) };
}

/** The account that a path names, if a caller may change it: any but @external and those of other ledgers. */
export async function findOwn(
  services: Services,
  { ledger, caller, parameters: [accountNumber] }: RequestContext<unknown, unknown>,
): Promise<AccountRecord> {
  if (accountNumber !== undefined && isOwnedByService(accountNumber)) throw accountNotFound();
  return await services.lookUps.run(caller, async (pool) => await findAccount({ pool, ledger }, accountNumber));
}

/** The account that a path names, without its personal data. */
export async function findAccount(
  { pool, ledger }: Books,
  accountNumber: string | undefined,
  currency?: string,
): Promise<AccountRecord> {
  return selectAccount(isNumber(accountNumber) ? await loadAccounts(pool, ledger, accountNumber) : [], currency);
}

async function findPersonalAccount(
  { pool, ledger }: Books,
  accountNumber: string | undefined,
  currency?: string,
): Promise<VersionedAccount> {
  const accounts = isNumber(accountNumber) ? await loadPersonalAccounts(pool, ledger, [accountNumber]) : [];
  return selectAccount(accounts, currency);
}

/** Whether it may be the number of an account: PostgreSQL cannot store this character. */
function isNumber(accountNumber: string | undefined): accountNumber is string {
  return accountNumber !== undefined && !accountNumber.includes('\0');
}

function selectAccount<Found extends AccountRecord>(accounts: readonly Found[], currency: string | undefined): Found {
  const matching = currency === undefined ? accounts : accounts.filter((account) => account.currency === currency);
  const [account, another] = matching;
  if (!account) throw accountNotFound();
  if (another) {
    const detail = `${account.accountNumber} has one account per currency: choose one with \`currency\`.`;
    throw withErrors(new Problem('invalid_request', detail), [toValidationError(['currency'], 'is missing')]);
  }
  return account;
}

function accountNotFound(): Problem {
  return new Problem('account_not_found', 'There is no account with this number.');
}
