// The handlers of accounts: open, show, list, change, close, and what happened on them.
import { randomInt } from 'node:crypto';
import { z } from 'zod';
import {
  type AccountRecord,
  closeAccount,
  insertAccount,
  sealAccount,
  listAccounts,
  listEntries,
  loadAccounts,
  loadBalanceAt,
  type NewAccount,
  updateAccount,
} from '../../db/accounts.ts';
import { constraintOf, retryAfter } from '../../db/errors.ts';
import { claimKeyForAccount, insertPending, type KeyHolder } from '../../db/intake.ts';
import { LeaseLostError } from '../../db/leases.ts';
import { withTransaction } from '../../db/transaction.ts';
import { EXTERNAL } from '../../domain/account.ts';
import type { NewTransfer } from '../../domain/transfer.ts';
import { Problem } from '../problem.ts';
import { type Answer, defineRoute, type Exchange, NO_BODY, type Route } from '../route.ts';
import {
  balanceSchema,
  createAccountSchema,
  IMMUTABLE_FIELDS,
  listAccountsSchema,
  listEntriesSchema,
  NO_PARAMETERS,
  parseRequest,
  readAccountSchema,
  updateAccountSchema,
} from '../schemas.ts';
import { unavailableProblem } from '../server.ts';
import { renderAccount, renderEntry, renderPage } from '../wire.ts';
import { loadStored } from '../standing.ts';
import {
  admit,
  bytesOf,
  keyReusedProblem,
  type Parts,
  REPLAYED,
  toIdempotency,
  toNewTransfer,
  toQueued,
} from '../submission.ts';

export function accountRoutes(parts: Parts): Route[] {
  return [
    defineRoute({
      method: 'POST',
      pattern: '/accounts',
      summary: 'Open an account',
      query: NO_PARAMETERS,
      body: createAccountSchema,
      answers: { 201: 'Account' },
      handle: async (exchange) => await createAccount(parts, exchange),
    }),
    defineRoute({
      method: 'GET',
      pattern: '/accounts',
      summary: 'Accounts, in order of number',
      query: listAccountsSchema,
      body: NO_BODY,
      answers: { 200: 'AccountPage' },
      handle: async ({ query }) => await showAccounts(parts, query),
    }),
    defineRoute({
      method: 'GET',
      pattern: '/accounts/:account_number',
      summary: 'One account',
      query: readAccountSchema,
      body: NO_BODY,
      answers: { 200: 'Account' },
      handle: async ({ parameters, query }) => ({
        status: 200,
        json: renderAccount(await findAccount(parts, parameters[0], query.currency)),
      }),
    }),
    defineRoute({
      method: 'PATCH',
      pattern: '/accounts/:account_number',
      summary: 'Change an account: anything but its balance and its currency',
      query: NO_PARAMETERS,
      body: updateAccountSchema,
      // Other fields are looked at by the handler: the schema would only say of any that it is unknown.
      chooseBody: () => z.looseObject(updateAccountSchema.shape),
      answers: { 200: 'Account' },
      handle: async ({ parameters, body }) => await changeAccount(parts, parameters[0], body),
    }),
    defineRoute({
      method: 'DELETE',
      pattern: '/accounts/:account_number',
      summary: 'Close an account; its history stays',
      query: NO_PARAMETERS,
      body: NO_BODY,
      answers: { 204: null },
      handle: async ({ parameters }) => await endAccount(parts, parameters[0]),
    }),
    defineRoute({
      method: 'GET',
      pattern: '/accounts/:account_number/entries',
      summary: "An account's history",
      query: listEntriesSchema,
      body: NO_BODY,
      answers: { 200: 'EntryPage' },
      handle: async ({ parameters, query }) => await showEntries(parts, parameters[0], query),
    }),
    defineRoute({
      method: 'GET',
      pattern: '/accounts/:account_number/balance',
      summary: 'The balance at an instant',
      query: balanceSchema,
      body: NO_BODY,
      answers: { 200: 'Balance' },
      handle: async ({ parameters, query }) => await showBalance(parts, parameters[0], query),
    }),
  ];
}

async function createAccount(
  parts: Parts,
  exchange: Exchange<unknown, z.output<typeof createAccountSchema>>,
): Promise<Answer> {
  const { body } = exchange;
  const account = {
    accountNumber: body.account_number ?? `ACC${String(randomInt(10 ** 12)).padStart(12, '0')}`,
    currency: body.currency,
    name: body.name,
    email: body.email ?? null,
    phone: body.phone ?? null,
    dateOfBirth: body.date_of_birth ?? null,
    overdraftLimit: BigInt(body.overdraft_limit),
    metadata: body.metadata,
  };
  const opening = body.balance === 0 ? null : openingTransfer(account, body.balance, exchange);
  const idempotency = toIdempotency({ headers: exchange.headers, said: ['accounts', body] });
  const bytes = opening ? bytesOf(opening) : 0;
  if (opening) {
    try {
      admit(parts, 1, bytes);
    } catch (problem) {
      // A full queue must not hide the answer to a request that was accepted before.
      const holder = idempotency && (await parts.keys.find(idempotency.key));
      if (holder) return await replayAccount(parts, holder, idempotency);
      throw problem;
    }
  }
  const release = (): void => {
    if (opening) parts.queue.release(1, bytes, false);
  };
  let opened: AccountRecord | null;
  try {
    opened = await openAccount(parts, { account, opening, idempotency });
  } catch (error) {
    release();
    throw error;
  }
  if (!opened) {
    release();
    const holder = idempotency && (await parts.keys.find(idempotency.key));
    if (!holder) throw unavailableProblem();
    return await replayAccount(parts, holder, idempotency);
  }
  if (opening) {
    parts.settlement.push([toQueued(opening)]);
    await parts.settlement.waitFor([opening.id], parts.waitTimeoutMs);
  }
  return await answerAccount(parts, opened, opening?.id ?? null);
}

type Opening = {
  readonly account: NewAccount;
  readonly opening: NewTransfer | null;
  readonly idempotency: NewTransfer['idempotency'];
};

const OPENING_ATTEMPTS_MAX = 3;

/** Opens an account, with its key and its opening transfer, in one commit. Null if the key is taken already. */
async function openAccount(parts: Parts, { account, opening, idempotency }: Opening): Promise<AccountRecord | null> {
  for (let attempt = 1; ; attempt += 1) {
    const { held } = parts.lease;
    let committing = false;
    try {
      return await withTransaction(parts.pool, async (connection) => {
        const { accountNumber, currency } = account;
        if (idempotency) {
          const named = { ...idempotency, accountNumber, openingId: opening?.id ?? null };
          if (!(await claimKeyForAccount(connection, named))) return null;
        }
        const inserted = await insertAccount(connection, account);
        if (!inserted) throw new Problem('account_exists', 'There is an account with this number already.');
        if (inserted.externalIsNew) await sealAccount(connection, { accountNumber: EXTERNAL, currency });
        await sealAccount(connection, account);
        // Last, because it locks the lease, for which intake waits.
        if (opening && !(await insertPending(connection, held, [opening])).leaseHeld)
          throw new LeaseLostError('The lease of this process was closed or renewed.');
        committing = true;
        return inserted.account;
      });
    } catch (error) {
      if (error instanceof LeaseLostError && attempt < OPENING_ATTEMPTS_MAX) {
        await parts.lease.renew(parts.pool, held);
        continue;
      }
      if (!committing || retryAfter(error) === 'never') throw error;
      // If the account was opened after all, recovery finds its opening transfer.
      if (opening) {
        parts.lease.doubt();
        parts.wakeRecovery();
      }
      throw new Problem(
        'outcome_unknown',
        'The database went away before it answered. Read the account, or send the same Idempotency-Key again.',
        { headers: { 'Retry-After': '1' }, members: { account_number: account.accountNumber } },
      );
    }
  }
}

/** The account that a key names, as it is now, or idempotency_key_reused if its request was another one. */
async function replayAccount(
  parts: Parts,
  holder: KeyHolder,
  idempotency: NewTransfer['idempotency'],
): Promise<Answer> {
  const { accountNumber, transferId } = holder;
  if (accountNumber === null || !idempotency || !holder.fingerprint.equals(idempotency.fingerprint))
    throw keyReusedProblem(holder);
  if (transferId !== null) await loadStored(parts, { namedId: transferId, isGroup: false }, parts.waitTimeoutMs);
  const answer = await answerAccount(parts, await findAccount(parts, accountNumber, undefined, 'own'), transferId);
  return { ...answer, headers: { ...answer.headers, ...REPLAYED } };
}

async function answerAccount(parts: Parts, opened: AccountRecord, openingId: string | null): Promise<Answer> {
  // It is there, even if it cannot be read just now: a 503 would say that nothing was stored.
  const account =
    openingId === null ? opened : await findAccount(parts, opened.accountNumber, opened.currency).catch(() => opened);
  return {
    status: 201,
    headers: { Location: `/accounts/${opened.accountNumber}` },
    json: { ...renderAccount(account), opening_transfer_id: openingId },
  };
}

function openingTransfer(
  account: { accountNumber: string; currency: string },
  balance: number,
  exchange: { requestId: string; requestIdGiven: boolean },
): NewTransfer {
  return toNewTransfer(exchange, null, {
    fromAccount: EXTERNAL,
    toAccount: account.accountNumber,
    amount: BigInt(balance),
    currency: account.currency,
    description: 'Opening balance',
  });
}

async function showAccounts(parts: Parts, query: z.output<typeof listAccountsSchema>): Promise<Answer> {
  // The cursor is the number and the currency of the last account shown.
  const [, accountNumber, currency] = /^(@external|[A-Za-z0-9._-]{1,34}):([A-Z]{3})$/.exec(query.after ?? '') ?? [];
  if (query.after !== undefined && (accountNumber === undefined || currency === undefined)) {
    throw new Problem('invalid_request', '`after` must be the `next` of the page before.');
  }
  const after = accountNumber === undefined || currency === undefined ? null : { accountNumber, currency };
  const accounts = await listAccounts(parts.pool, {
    limit: query.limit + 1,
    after,
    metadata: query.metadata ?? null,
  });
  const shown = accounts.slice(0, query.limit);
  const last = accounts.length > query.limit ? shown.at(-1) : undefined;
  const next = last ? `${last.accountNumber}:${last.currency}` : null;
  return { status: 200, json: renderPage(shown.map(renderAccount), next) };
}

async function changeAccount(
  parts: Parts,
  accountNumber: string | undefined,
  body: Record<string, unknown>,
): Promise<Answer> {
  const immutable = IMMUTABLE_FIELDS.find((field) => Object.hasOwn(body, field));
  if (immutable !== undefined) {
    const hint = immutable === 'balance' ? 'money moves by transfers only' : 'it is fixed when the account is opened';
    throw new Problem('immutable_field', `The field ${immutable} cannot be changed: ${hint}.`);
  }
  const change = parseRequest(updateAccountSchema, body);
  const account = await findAccount(parts, accountNumber, undefined, 'own');
  try {
    const updated = await withTransaction(parts.pool, async (connection) => {
      const record = await updateAccount(connection, account.accountNumber, {
        name: change.name,
        email: change.email,
        phone: change.phone,
        dateOfBirth: change.date_of_birth,
        overdraftLimit: change.overdraft_limit === undefined ? undefined : BigInt(change.overdraft_limit),
        metadata: change.metadata,
        status: change.status,
      });
      if (record) await sealAccount(connection, record);
      return record;
    });
    if (!updated) throw new Problem('account_closed', 'A closed account stays as it is.');
    return { status: 200, json: renderAccount(updated) };
  } catch (error) {
    if (constraintOf(error) !== 'accounts_no_overdraft') throw error;
    throw new Problem('overdraft_in_use', 'The account has drawn more than this limit already.');
  }
}

async function endAccount(parts: Parts, accountNumber: string | undefined): Promise<Answer> {
  const account = await findAccount(parts, accountNumber, undefined, 'own');
  const closed = await withTransaction(parts.pool, async (connection) => {
    const done = await closeAccount(connection, account.accountNumber);
    if (done) await sealAccount(connection, account);
    return done;
  });
  if (!closed) {
    const now = await findAccount(parts, accountNumber);
    if (now.status !== 'closed') {
      throw new Problem('account_not_empty', 'Move the money away and end the holds; then the account can be closed.');
    }
  }
  return { status: 204 };
}

async function showEntries(
  parts: Parts,
  accountNumber: string | undefined,
  query: z.output<typeof listEntriesSchema>,
): Promise<Answer> {
  if (query.after !== undefined && !/^\d{1,18}$/.test(query.after)) {
    throw new Problem('invalid_request', '`after` must be the `next` of the page before.');
  }
  const account = await findAccount(parts, accountNumber, query.currency);
  const entries = await listEntries(parts.pool, account, {
    limit: query.limit + 1,
    after: query.after === undefined ? null : BigInt(query.after),
    newestFirst: query.order === 'newest',
  });
  const shown = entries.slice(0, query.limit);
  const next = entries.length > query.limit ? String(shown.at(-1)?.entryNumber) : null;
  return { status: 200, json: renderPage(shown.map(renderEntry), next) };
}

async function showBalance(
  parts: Parts,
  accountNumber: string | undefined,
  query: z.output<typeof balanceSchema>,
): Promise<Answer> {
  const account = await findAccount(parts, accountNumber, query.currency);
  const at = query.at ?? null;
  const { balance, entryNumber } =
    at === null
      ? { balance: account.balance, entryNumber: account.entryCount }
      : await loadBalanceAt(parts.pool, account, at);
  return {
    status: 200,
    json: {
      account_number: account.accountNumber,
      currency: account.currency,
      at,
      balance: Number(balance),
      entry_number: Number(entryNumber),
    },
  };
}

/** The one account that a path names. `own`: only one that is not @external, which nobody may change. */
export async function findAccount(
  parts: Pick<Parts, 'pool'>,
  accountNumber: string | undefined,
  currency?: string,
  whose: 'any' | 'own' = 'any',
): Promise<AccountRecord> {
  const known = accountNumber !== undefined && (whose === 'any' || accountNumber !== EXTERNAL);
  // What PostgreSQL cannot keep as text cannot be an account number either.
  const accounts = known && !accountNumber.includes('\0') ? await loadAccounts(parts.pool, accountNumber) : [];
  const matching = currency === undefined ? accounts : accounts.filter((account) => account.currency === currency);
  const [account, another] = matching;
  if (!account) throw new Problem('account_not_found', 'There is no account with this number.');
  if (another) {
    throw new Problem('invalid_request', `${EXTERNAL} has one account per currency: say which with \`currency\`.`);
  }
  return account;
}
