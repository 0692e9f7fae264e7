// The views of answers: renderers write what the OpenAPI document describes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import type { StatementEntry, StatementSummary } from '../../src/db/queries/statements.ts';
import type { Transfer } from '../../src/db/queries/transfers.ts';
import { MAIN_LEDGER } from '../../src/domain/ledger.ts';
import { Problem, problemView } from '../../src/main/http/problem.ts';
import { renderBalance, renderEntry } from '../../src/main/api/entry-views.ts';
import {
  ANSWER_VIEWS,
  renderAccount,
  renderEvent,
  renderGroup,
  renderHold,
  renderLedger,
  renderTransfer,
} from '../../src/main/api/views.ts';
import { renderTrialBalance } from '../../src/main/api/trial-balance-view.ts';
import { renderStatement } from '../../src/render/statement.ts';

const AT = '2026-11-05T10:00:00.5Z';
const ID = '019a53d2-8c00-7000-8000-000000000001';
/** More than 2^53: a sum of many balances. */
const LARGE = 2n ** 60n;

const TRANSFER: Transfer = {
  id: ID,
  kind: 'transfer',
  fromAccount: 'ANN',
  toAccount: 'BOB',
  amount: 2500n,
  currency: 'USD',
  parentId: null,
  groupId: null,
  groupPosition: null,
  status: 'completed',
  failureCode: null,
  requestId: 'r-1',
  by: { orderedBy: 'k7', approvedBy: null },
  rate: null,
  remoteAccount: null,
  description: null,
  metadata: { order: '7' },
  createdAt: AT,
  completedAt: AT,
  journalNumber: 3n,
};

const ACCOUNT = {
  accountNumber: 'ANN',
  currency: 'USD',
  status: 'open' as const,
  personalData: { name: 'Ann', email: null, phone: null, dateOfBirth: null },
  balance: 100n,
  held: 0n,
  overdraftLimit: 0n,
  entryCount: 1n,
  metadata: {},
  createdAt: AT,
};

const SUMMARY: StatementSummary = {
  ledger: MAIN_LEDGER,
  accountNumber: 'ANN',
  name: 'Ann',
  currency: 'USD',
  month: '2026-11',
  begins: '2026-11-01T00:00:00Z',
  ends: '2026-12-01T00:00:00Z',
  final: false,
  openingBalance: 0n,
  totalIn: LARGE,
  totalOut: 0n,
  closingBalance: 2500n,
  openingEntryNumber: 0n,
  closingEntryNumber: 1n,
};

const STATEMENT_ENTRY: StatementEntry = {
  entryNumber: 1n,
  settledAt: AT,
  transferId: ID,
  kind: 'transfer',
  counterparty: 'BOB',
  description: null,
  amount: 2500n,
  balance: 2500n,
};

test('views: a misspelled, unknown or missing member does not compile', () => {
  const transfer = renderTransfer(TRANSFER);
  // @ts-expect-error: the member is failure_code.
  const misspelled: typeof transfer = { ...transfer, failure_kode: null };
  const { failure_code: _, ...rest } = transfer;
  // @ts-expect-error: failure_code is missing.
  const missing: typeof transfer = rest;
  // @ts-expect-error: a problem has no such member.
  const problem = new Problem('not_ready', 'Not ready.', { members: { fayling: [] } });
  assert.ok(misspelled && missing && problem);
});

const RENDERED: Partial<Record<keyof typeof ANSWER_VIEWS, object>> = {
  Ledger: renderLedger({ name: 'main', createdAt: AT, clock: null }),
  Account: renderAccount(ACCOUNT),
  Entry: renderEntry({
    entryNumber: 1n,
    transferId: ID,
    amount: -5n,
    balance: 95n,
    journalNumber: 3n,
    settledAt: AT,
  }),
  Balance: renderBalance(ACCOUNT, AT, { balance: 100n, entryNumber: 1n }),
  Transfer: renderTransfer(TRANSFER),
  Group: renderGroup(ID, true, [TRANSFER]),
  Hold: renderHold({
    id: ID,
    state: 'open',
    failureCode: null,
    fromAccount: 'ANN',
    toAccount: 'BOB',
    currency: 'USD',
    amount: 5n,
    captured: 0n,
    released: 0n,
    createdAt: AT,
    expiresAt: null,
  }),
  Event: renderEvent({
    ledger: 'main',
    journalNumber: 3n,
    settledAt: AT,
    hash: 'ab',
    previousHash: 'cd',
    digest: 'ef',
    transferCount: 1,
    changeCount: 1,
    transfers: [{ ...TRANSFER, fromEntryNumber: 1n, toEntryNumber: null }],
    accountChanges: [{ accountNumber: 'ANN', currency: 'USD', changeNumber: 1n }],
  }),
  TrialBalance: renderTrialBalance(null, {
    journalNumber: 3n,
    settledAt: AT,
    currencies: [{ currency: 'USD', accountCount: 2, positive: LARGE, negative: -LARGE }],
  }),
};

for (const [name, rendered] of Object.entries(RENDERED)) {
  test(`views: ${name} is rendered with the members of its view, in their order`, () => {
    const view = Object.entries(ANSWER_VIEWS).find(([each]) => each === name)?.[1];
    const body: unknown = JSON.parse(JSON.stringify(rendered));
    assert.equal(JSON.stringify(view?.parse(body)), JSON.stringify(body));
  });
}

test('views: the text of a JSON statement has the members of its view, in their order', async () => {
  const batches = (async function* () {
    yield [STATEMENT_ENTRY];
    yield [STATEMENT_ENTRY];
  })();
  const texts = await Array.fromAsync(renderStatement('json', SUMMARY, batches));
  const body: unknown = JSON.parse(texts.join(''));
  assert.equal(JSON.stringify(ANSWER_VIEWS.Statement.parse(body)), JSON.stringify(body));
});

test('views: a problem with every optional member has the members of its view', () => {
  const problem = new Problem('not_ready', 'Not ready.', {
    members: {
      errors: [{ pointer: '/a', detail: 'b' }],
      transfer_id: ID,
      account_number: 'A',
      ledger: 'l',
      failing: [],
    },
  });
  const body: unknown = JSON.parse(problem.render('r-1'));
  assert.equal(JSON.stringify(problemView.parse(body)), JSON.stringify(body));
});

test('views: the document sets no bound to sums of money, which may exceed 2^53', () => {
  const { properties } = z.toJSONSchema(ANSWER_VIEWS.Statement, { unrepresentable: 'any' });
  assert.deepEqual(properties?.['total_in'], {
    type: 'integer',
    description: 'Minor units, an integer that may be larger than 2^53.',
  });
});
