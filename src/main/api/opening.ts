// Opens accounts: one, or several at once, all or none. One commit makes the accounts, their idempotency key and their
// opening transfers durable.
import { createHash, randomInt, randomUUIDv7 } from 'node:crypto';
import type { z } from 'zod';
import {
  type AccountRecord,
  loadPersonalAccounts,
  loadPersonalKeys,
  type PersonalAccount,
} from '../../db/ledger/accounts.ts';
import { DamagedBooksError, retryPolicyOf } from '../../db/connection/errors.ts';
import type { KeyHolder } from '../../db/ledger/intake.ts';
import { releaseUsage } from '../../db/ledger/key-usage.ts';
import { createPersonalKey, fingerprintPersonalData } from '../../db/queries/personal-data.ts';
import { loadGroup } from '../../db/queries/transfers.ts';
import type { Principal } from '../../domain/access.ts';
import { type Account, EXTERNAL, type NewAccount, type PersonalData } from '../../domain/account.ts';
import type { Ledger } from '../../domain/ledger.ts';
import type { Group, IdempotencyKey, NewTransfer } from '../../domain/transfer.ts';
import { open } from '../engine/engine.ts';
import { type Flaw, Problem, refuseFlaws, toValidationError, withErrors } from '../http/problem.ts';
import { foreignAccount, insufficientScope, type Locate, mayUseAccount, refuseTransfers } from './permissions.ts';
import type { Answer, RequestContext } from './route.ts';
import type { createAccountSchema, createAccountsSchema } from './schemas.ts';
import type { Engine } from '../engine/engine.ts';
import { refuseUnapproved } from './approvals.ts';
import type { Services } from './reads.ts';
import { keyReusedProblem, REPLAYED, reserveDaily, toIdempotency, toNewTransfer, toProblem } from './submission.ts';
import { renderAccount } from './views.ts';

type AccountBody = z.output<typeof createAccountSchema>;
type Body = AccountBody | z.output<typeof createAccountsSchema>;

/** The accounts and transfers of a request, and for each account the id of its opening transfer, or null. */
type Wanted = {
  readonly accounts: readonly (NewAccount & { readonly personalData: PersonalData; readonly key: string })[];
  readonly transfers: readonly NewTransfer[];
  readonly openingIds: readonly (string | null)[];
};

/** Opens one account, or those of a list, and answers 201. Throws a problem if it cannot. */
export async function createAccounts(
  services: Pick<Services, 'engine' | 'approvalAbove'>,
  context: RequestContext<unknown, Body>,
): Promise<Answer> {
  const { engine } = services;
  const { body, ledger, principal, caller, headers, span, requestId } = context;
  const bodies = 'accounts' in body ? body.accounts : [body];
  const shared = bodies.map(withoutPersonalData);
  const fingerprinted = ['accounts', 'accounts' in body ? { accounts: shared } : shared[0]];
  const named = toIdempotency({ headers, fingerprinted });
  if (bodies.length > 1) refuseRepeated(bodies);
  const wanted = toWanted(bodies, context, named);
  refuseOpenings(principal, wanted, body);
  refuseUnapproved(
    services,
    context,
    () =>
      bodies.flatMap((each, index) => [
        { amount: BigInt(each.balance), path: pathOf(body, index, 'balance') },
        { amount: BigInt(each.overdraft_limit), path: pathOf(body, index, 'overdraft_limit') },
      ]),
    'Open the account without it, then transfer the money or change the limit.',
  );
  const people = wanted.accounts.map(({ personalData }) => personalData);
  const keys = wanted.accounts.map(({ key }) => Buffer.from(key, 'hex'));
  const idempotency = named && { ...named, personalFingerprint: fingerprintPersonalData(keys, people) };
  const by = { orderedBy: principal.id, approvedBy: null };
  const reserved = await reserveDaily(engine, { principal }, { ledger, transfers: wanted.transfers, idempotency });
  const result = await open(engine, { ...wanted, ledger, by, caller, span, idempotency, requestId });
  const isOrdered = 'refused' in result ? result.refused === 'outcome_unknown' : !('replayed' in result);
  if (reserved !== null && !isOrdered) await releaseUsage(engine.pool, reserved);
  if ('refused' in result) throw await toOpeningProblem(engine, result, { ...wanted, ledger, principal, body });
  if ('replayed' in result)
    return await replayAccounts(engine, context, { wanted, idempotency, holder: result.replayed });
  const accounts =
    result.opened === null
      ? await loadOpened(engine, ledger, wanted.accounts)
      : wanted.accounts.map((account, index) => ({
          ...toRecord(account, result.opened[index] ?? null, result.createdAt),
          personalData: account.personalData,
        }));
  return answerAccounts(context, accounts, wanted.openingIds);
}

async function toOpeningProblem(
  { pool }: Engine,
  refusal: Parameters<typeof toProblem>[0],
  opening: Wanted & { ledger: Ledger; principal: Principal; body: Body },
): Promise<Problem> {
  const { accounts, ledger, body } = opening;
  if (refusal.refused === 'outcome_unknown') return unknownOpening(accounts);
  const problem = toProblem(refusal, opening);
  if (refusal.refused !== 'account_exists') return problem;
  const numbers = accounts.map(({ accountNumber }) => accountNumber);
  const taken = new Set((await loadPersonalAccounts(pool, ledger, numbers)).map(({ accountNumber }) => accountNumber));
  const errors = numbers.flatMap((number, index) =>
    taken.has(number) ? toValidationError(pathOf(body, index, 'account_number'), 'is taken') : [],
  );
  return withErrors(problem, errors);
}

/** Where a request has a member of the account with this index. */
function pathOf(body: Body, index: number, member: keyof AccountBody): PropertyKey[] {
  return 'accounts' in body ? ['accounts', index, member] : [member];
}

function unknownOpening([first]: readonly Pick<NewAccount, 'accountNumber'>[]): Problem {
  return new Problem(
    'outcome_unknown',
    'The connection to the database was lost before it answered. Read the account, or retry with the same `Idempotency-Key`.',
    { headers: { 'Retry-After': '1' }, members: { account_number: first?.accountNumber } },
  );
}

/** Refuses accounts that the caller may not open with these overdraft limits and opening balances. */
function refuseOpenings(principal: Principal, { accounts, transfers, openingIds }: Wanted, body: Body): void {
  const message = 'is not allowed for this key';
  refuseFlaws(
    accounts.flatMap(({ accountNumber }, index) => {
      if (mayUseAccount(principal, accountNumber)) return [];
      const error = toValidationError(pathOf(body, index, 'account_number'), message);
      return { problem: foreignAccount(principal), error };
    }),
  );
  if (!principal.scopes.has('accounts:admin')) {
    refuseFlaws(
      accounts.flatMap(({ overdraftLimit }, index) => {
        if (overdraftLimit === 0n) return [];
        const error = toValidationError(pathOf(body, index, 'overdraft_limit'), message);
        return { problem: insufficientScope('accounts:admin'), error };
      }),
    );
  }
  const locate: Locate = (position) => {
    const funded = [...openingIds.keys()].filter((index) => openingIds[index] !== null);
    return pathOf(body, funded[position] ?? 0, 'balance');
  };
  refuseTransfers(principal, transfers, { amountAtMost: null, locate });
}

/** Refuses a list that names an account twice. */
function refuseRepeated(bodies: readonly AccountBody[]): void {
  const seen = new Set<string>();
  const flaws: Flaw[] = [];
  for (const [index, { account_number: number }] of bodies.entries()) {
    if (number === undefined) continue;
    if (seen.has(number)) {
      const problem = new Problem('account_exists', `The list opens ${number} twice.`);
      flaws.push({ problem, error: toValidationError(['accounts', index, 'account_number'], 'appears twice') });
    }
    seen.add(number);
  }
  refuseFlaws(flaws);
}

function toWanted(
  bodies: readonly AccountBody[],
  context: RequestContext<unknown, Body>,
  idempotency: IdempotencyKey | null,
): Wanted {
  const accounts = bodies.map((body, position) => ({
    accountNumber: body.account_number ?? makeNumber(idempotency, position),
    currency: body.currency,
    personalData: toPersonalData(body),
    key: createPersonalKey().toString('hex'),
    overdraftLimit: BigInt(body.overdraft_limit),
    metadata: body.metadata,
  }));
  const id = randomUUIDv7();
  let position = 0;
  const openings = bodies.map(({ balance }, index) => {
    const account = accounts[index];
    if (!account || balance === 0) return null;
    // The idempotency key of a list names the group of its opening transfers.
    const group = 'accounts' in context.body ? { id, position, atomic: false } : null;
    position += 1;
    return openingTransfer(account, balance, context, group);
  });
  return {
    accounts,
    transfers: openings.filter((opening) => opening !== null),
    openingIds: openings.map((opening) => opening?.id ?? null),
  };
}

/**
 * A number for an account without one. With an idempotency key it is derived from the key, so that a retry opens the
 * same account.
 */
function makeNumber(idempotency: IdempotencyKey | null, position: number): string {
  const number = idempotency
    ? createHash('sha256').update(`${position} ${idempotency.key}`).digest().readUIntBE(0, 6) % 10 ** 12
    : randomInt(10 ** 12);
  return `ACC${String(number).padStart(12, '0')}`;
}

function toPersonalData({
  name,
  email = null,
  phone = null,
  date_of_birth: dateOfBirth = null,
}: AccountBody): PersonalData {
  return { name, email, phone, dateOfBirth };
}

/** What the fingerprint of a key may cover although it is kept for ever. */
function withoutPersonalData(body: AccountBody): Record<string, unknown> {
  return { ...body, name: null, email: null, phone: null, date_of_birth: null };
}

function toRecord(account: NewAccount, state: Account | null, createdAt: string): AccountRecord {
  const { balance = 0n, held = 0n, entryCount = 0n } = state ?? {};
  return { ...account, status: 'open', balance, held, entryCount, createdAt };
}

async function loadOpened(
  { pool }: Engine,
  ledger: Ledger,
  accounts: readonly Pick<NewAccount, 'accountNumber'>[],
): Promise<PersonalAccount[]> {
  const numbers = accounts.map(({ accountNumber }) => accountNumber);
  const rows = await orUnknown(accounts, async () => await loadPersonalAccounts(pool, ledger, numbers));
  const loaded = new Map(rows.map((each) => [each.accountNumber, each]));
  const opened = numbers.flatMap((number) => loaded.get(number) ?? []);
  if (opened.length !== numbers.length)
    throw new DamagedBooksError('An idempotency key names a missing account; run gopherpay audit.');
  return opened;
}

/** Reads the stored state. If that fails, the outcome is unknown: any other 503 would mean that nothing was stored. */
async function orUnknown<Result>(
  accounts: readonly Pick<NewAccount, 'accountNumber'>[],
  read: () => Promise<Result>,
): Promise<Result> {
  try {
    return await read();
  } catch (error) {
    if (retryPolicyOf(error) === 'never') throw error;
    throw unknownOpening(accounts);
  }
}

/**
 * The accounts that a key names, in their current state. Throws idempotency_key_reused if the key was used for another
 * request.
 */
async function replayAccounts(
  engine: Engine,
  context: RequestContext<unknown, Body>,
  { wanted, idempotency, holder }: { wanted: Wanted; idempotency: IdempotencyKey | null; holder: KeyHolder },
): Promise<Answer> {
  const { accountNumber, transferId } = holder;
  const { ledger } = context;
  if (accountNumber === null || !idempotency || !holder.fingerprint.equals(idempotency.fingerprint))
    throw keyReusedProblem(holder, context.principal);
  const accounts = await loadOpened(engine, ledger, wanted.accounts);
  if (!(await hasSamePeople(engine, ledger, wanted, holder))) throw keyReusedProblem(holder, context.principal);
  const members =
    'accounts' in context.body && transferId !== null
      ? await orUnknown(wanted.accounts, async () => await loadGroup(engine.pool, ledger, transferId))
      : [];
  const idByAccount = new Map(members.map(({ toAccount, id }) => [toAccount, id]));
  const openingIds = wanted.accounts.map(({ accountNumber: number }) =>
    'accounts' in context.body ? (idByAccount.get(number) ?? null) : transferId,
  );
  const shown = accounts.map((account, index) => asReadable(context, account, index));
  const answer = answerAccounts(context, shown, openingIds);
  return { ...answer, headers: { ...answer.headers, ...REPLAYED } };
}

/** An account for a replay. A caller that may not read accounts gets what it sent, not what happened since. */
function asReadable(
  { body, principal }: Pick<RequestContext<unknown, Body>, 'body' | 'principal'>,
  account: PersonalAccount,
  index: number,
): PersonalAccount {
  const sent = 'accounts' in body ? body.accounts[index] : body;
  if (principal.scopes.has('accounts:read') || !sent) return account;
  const { accountNumber, currency, createdAt } = account;
  // Without entries, the opening transfer failed.
  const balance = account.entryCount === 0n ? 0n : BigInt(sent.balance);
  return {
    accountNumber,
    currency,
    status: 'open',
    balance,
    held: 0n,
    overdraftLimit: BigInt(sent.overdraft_limit),
    entryCount: balance === 0n ? 0n : 1n,
    metadata: sent.metadata,
    createdAt,
    personalData: account.personalData && toPersonalData(sent),
  };
}

/**
 * Whether a request has the personal data of the one that opened its accounts. True if some of it was erased: then
 * nothing is left to compare.
 */
async function hasSamePeople(
  { pool }: Engine,
  ledger: Ledger,
  { accounts }: Wanted,
  { personalFingerprint }: KeyHolder,
): Promise<boolean> {
  const numbers = accounts.map(({ accountNumber }) => accountNumber);
  const byNumber = await orUnknown(accounts, async () => await loadPersonalKeys(pool, ledger, numbers));
  const keys = numbers.flatMap((number) => byNumber.get(number) ?? []);
  const people = accounts.map(({ personalData }) => personalData);
  return keys.length < numbers.length || personalFingerprint?.equals(fingerprintPersonalData(keys, people)) === true;
}

function answerAccounts(
  { body }: RequestContext<unknown, Body>,
  accounts: readonly PersonalAccount[],
  openingIds: readonly (string | null)[],
): Answer {
  const rendered = accounts.map((account, index) => ({
    ...renderAccount(account),
    opening_transfer_id: openingIds[index] ?? null,
  }));
  const [first] = rendered;
  if ('accounts' in body || !first) return { status: 201, json: { object: 'accounts', accounts: rendered } };
  return { status: 201, headers: { Location: `/accounts/${accounts[0]?.accountNumber}` }, json: first };
}

function openingTransfer(
  account: NewAccount,
  balance: number,
  context: Parameters<typeof toNewTransfer>[0],
  group: Group | null,
): NewTransfer {
  const fields = {
    fromAccount: EXTERNAL,
    toAccount: account.accountNumber,
    amount: BigInt(balance),
    currency: account.currency,
    description: 'Opening balance',
  };
  return toNewTransfer(context, fields, group);
}
