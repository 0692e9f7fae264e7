// Books to decide on: accounts, holds and originals that fit together, and short ways to write orders.
import assert from 'node:assert/strict';
import { type Account, EXTERNAL } from '../../src/domain/account.ts';
import type { BooksContent } from '../../src/domain/books.ts';
import type { Hold } from '../../src/domain/hold.ts';
import type { FailureCode, TransferTerms, Outcome } from '../../src/domain/transfer.ts';

let groups = 0;

export function account(accountNumber: string, fields: Partial<Account> = {}): Account {
  return {
    accountNumber,
    currency: 'USD',
    status: 'open',
    balance: 0n,
    held: 0n,
    overdraftLimit: 0n,
    entryCount: 0n,
    ...fields,
  };
}

function hold(id: string, amount: bigint, fields: Partial<Hold> = {}): Hold {
  return { id, amount, state: 'open', captured: 0n, released: 0n, due: false, ...fields };
}

/** PAYER's holds are `whole`, `part` and `due`, ICY's is `icy`. */
export const CONTENT: BooksContent = {
  accounts: [
    account('PAYER', { balance: 1000n, held: 530n, entryCount: 4n }),
    account('SHOP', { balance: 40n, entryCount: 3n }),
    account('RICH', { balance: 1000n, entryCount: 1n }),
    account('EMPTY'),
    account('ICY', { status: 'frozen', balance: 100n, held: 100n, entryCount: 1n }),
    account('JAR', { status: 'receive_only', balance: 10n, entryCount: 1n }),
    account('CLOSED', { status: 'closed', entryCount: 2n }),
    account('FULL', { balance: 2n ** 53n - 1n, entryCount: 1n }),
    account('YEN', { currency: 'JPY', balance: 5n, entryCount: 1n }),
    account(EXTERNAL, { balance: -2150n, held: 1n, entryCount: 9n }),
    account(EXTERNAL, { currency: 'JPY', balance: -5n, entryCount: 1n }),
  ],
  holds: [
    hold('whole', 300n),
    hold('part', 200n, { captured: 50n }),
    hold('due', 80n, { due: true }),
    hold('icy', 100n),
    hold('captured', 10n, { state: 'captured', captured: 10n }),
    hold('voided', 10n, { state: 'voided', captured: 4n, released: 6n }),
    hold('expired', 10n, { state: 'expired', released: 10n, due: true }),
  ],
  originals: [
    { id: 'sale', amount: 100n, reversed: 30n },
    { id: 'undone', amount: 60n, reversed: 60n },
  ],
};

/** A transfer of 1 from PAYER to SHOP, but for the fields given. */
export function order(fields: Partial<TransferTerms> = {}): TransferTerms {
  return {
    id: '0192f0c4-0000-7000-8000-000000000001',
    kind: 'transfer',
    fromAccount: 'PAYER',
    toAccount: 'SHOP',
    amount: 1n,
    currency: null,
    parentId: null,
    group: null,
    conditions: null,
    finalCapture: false,
    expiresIn: null,
    remoteAccount: null,
    ...fields,
  };
}

/** The members of an atomic group of its own. */
export function atomic(...legs: readonly (readonly [from: string, to: string, amount: bigint])[]): TransferTerms[] {
  const id = `group ${(groups += 1)}`;
  return legs.map(([fromAccount, toAccount, amount], position) =>
    order({ fromAccount, toAccount, amount, group: { id, position, atomic: true } }),
  );
}

export function codesOf(outcomes: readonly Outcome[]): (FailureCode | null)[] {
  return outcomes.map((outcome) => (outcome.ok ? null : outcome.code));
}

export function outcomeOf(outcomes: readonly Outcome[], index: number): Outcome {
  const outcome = outcomes[index];
  assert.ok(outcome, `There is no outcome ${index}.`);
  return outcome;
}
