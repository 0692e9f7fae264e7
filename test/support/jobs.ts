// Makes transfers, accounts, jobs and reports for tests of the engine and its threads.
import { randomUUIDv7 } from 'node:crypto';
import { type Job, type SettledJob, toColumns, type UnitOutcome } from '../../src/domain/job.ts';
import type { NewAccount } from '../../src/domain/account.ts';
import { MAIN_LEDGER } from '../../src/domain/ledger.ts';
import { fromOpeningColumns, toOpeningColumns } from '../../src/domain/opening.ts';
import { BY_SERVICE, type FailureCode, type NewTransfer } from '../../src/domain/transfer.ts';
import { keyOf, type Person } from './personal-data.ts';

/** A transfer of 1 from ANN to BOB, unless `fields` override it. */
export function newTransfer(fields: Partial<NewTransfer> = {}): NewTransfer {
  return {
    id: randomUUIDv7(),
    kind: 'transfer',
    fromAccount: 'ANN',
    toAccount: 'BOB',
    amount: 1n,
    currency: null,
    parentId: null,
    group: null,
    conditions: null,
    finalCapture: false,
    expiresIn: null,
    requestId: null,
    by: BY_SERVICE,
    rate: null,
    remoteAccount: null,
    description: null,
    metadata: null,
    ...fields,
  };
}

/** The members of a group. */
export function newGroup(size: number, { atomic = true, id = randomUUIDv7() } = {}): NewTransfer[] {
  return Array.from({ length: size }, (_, position) => newTransfer({ group: { id, position, atomic } }));
}

/** The personal data of an account of the main ledger, and its key. */
export function newPersonalData(
  account: string,
  currency = 'USD',
  person: Person = { name: account },
): Pick<NewAccount, 'personalData' | 'key'> {
  const { name, email = null, phone = null, dateOfBirth = null } = person;
  const key = keyOf({ ledger: MAIN_LEDGER.id, account, currency }).toString('hex');
  return { personalData: { name, email, phone, dateOfBirth }, key };
}

/** An account in USD that has only a name, unless `fields` override it. */
export function newAccount(accountNumber: string, fields: Partial<NewAccount> = {}): NewAccount {
  return {
    accountNumber,
    currency: 'USD',
    ...newPersonalData(accountNumber),
    overdraftLimit: 0n,
    metadata: {},
    ...fields,
  };
}

/** A job of no units, unless `fields` override it. */
export function newJob(fields: Partial<Job> = {}): Job {
  return {
    ledger: MAIN_LEDGER,
    units: [],
    transfers: toColumns([]),
    claims: [],
    openings: toOpeningColumns([]),
    mode: 'settle',
    mayBeSettled: false,
    storedAgoMs: 0,
    retryMs: Infinity,
    traced: false,
    ...fields,
  };
}

/** The report of a job whose units all ended in one way, or each in its own. */
export function settledReport(
  { transfers, openings }: Job,
  fields: { failureCode?: FailureCode | null; units?: readonly UnitOutcome[] | null } = {},
): SettledJob {
  const { failureCode = null, units = null } = fields;
  return {
    result: 'settled',
    units,
    failureCodes: transfers.id.map(() => failureCode),
    currencies: transfers.id.map(() => 'USD'),
    amounts: transfers.id.map(() => 1n),
    opened: fromOpeningColumns(openings).map(({ account }) => ({
      ...account,
      status: 'open',
      balance: 0n,
      held: 0n,
      entryCount: 0n,
    })),
    jobMicros: 1_795_341_599_999_999n,
    journalNumber: 1n,
    settledAt: '2026-11-22T10:00:00Z',
    accountCount: 2,
    attempts: 1,
    answerLost: false,
    lockMs: 0,
  };
}
