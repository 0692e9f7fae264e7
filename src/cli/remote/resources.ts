// The operations of the API that are commands: a description for each.
import { type CommandDef, defineCommand } from 'citty';
import { z } from 'zod';
import { isLedgerName } from '../../domain/ledger.ts';
import { instant, mustBe } from '../../validation.ts';
import { accountNumber, currencyCode } from '../command.ts';
import type { Operation, Option, Subject } from './arguments.ts';
import { defineOperation } from './operation.ts';
import type { Columns } from './table.ts';

const ACCOUNT: Subject = {
  name: 'account',
  // In a path, . and .. would name another route.
  schema: accountNumber.refine((text) => !/^\.{1,2}$/.test(text), { error: mustBe('the number of an account') }),
  description: 'The account number',
};
const ID_SCHEMA = z.uuid({ error: mustBe('an id such as 019ac3a4-8d1b-7c3e-9f6a-2b1c0d9e8f7a') });
const TRANSFER: Subject = { name: 'id', schema: ID_SCHEMA, description: 'The id of the transfer' };
const HOLD: Subject = { name: 'id', schema: ID_SCHEMA, description: 'The id of the hold' };
const LEDGER: Subject = {
  name: 'name',
  schema: z.string().refine(isLedgerName, 'must be 1 to 63 of a-z 0-9 _ -, the first a letter or a digit'),
  description: 'The name of the ledger',
};

/** `key:value` pairs with commas between them. */
const metadata: Option = {
  description: 'Pairs with commas between them',
  hint: 'order:4711,shop:7',
  schema: z
    .string({ error: mustBe('pairs such as order:4711,shop:7') })
    .regex(/^[^:,]+:[^,]*(,[^:,]+:[^,]*)*$/)
    .transform((text) => Object.fromEntries(text.split(',').map((pair) => pair.split(/:(.*)/s, 2)))),
};
const currency = (description: string): Option => ({ description, hint: 'USD', schema: currencyCode });
const text = (description: string, hint?: string): Option => ({ description, ...(hint === undefined ? {} : { hint }) });
const amountFilter = (description: string): Option => ({
  description,
  hint: '2500',
  schema: z.string({ error: mustBe('a whole number of minor units') }).regex(/^\d{1,16}$/),
});
const account = (description: string): Option => ({ description, hint: 'ACC1001', schema: accountNumber });
const order = (...choices: string[]): Option => ({ description: 'Which comes first', choices });
const since: Option = { description: 'At or after this instant', hint: '2026-01-31T12:00:00Z', schema: instant };
const until: Option = { ...since, description: 'Before this instant' };
const description = text('A text that stays with it', 'TEXT');

const ACCOUNT_COLUMNS: Columns = {
  columns: ['account_number', 'status', 'balance'],
  more: ['available', 'held', 'name'],
};
const TRANSFER_COLUMNS: Columns = {
  columns: ['id', 'status', 'from_account', 'to_account', 'amount'],
  more: ['kind', 'failure_code', 'created_at', 'description'],
};
const HOLD_COLUMNS: Columns = {
  columns: ['id', 'state', 'from_account', 'to_account', 'amount', 'remaining'],
  more: ['created_at', 'expires_at'],
};
const ENTRY_COLUMNS: Columns = { columns: ['entry_number', 'amount', 'balance', 'transfer_id'], more: ['settled_at'] };

const accountPath = (number: string) => `/accounts/${number}`;

const PERSONAL_DATA = {
  email: text('An address', 'ada@example.com'),
  phone: text('A phone number', '+49 30 123'),
  'date-of-birth': text('A date', '2000-01-31'),
};

const ACCOUNTS: Readonly<Record<string, Operation>> = {
  list: {
    summary: 'List accounts.',
    method: 'GET',
    path: () => '/accounts',
    options: {
      name: text('Only of this name: beginnings of its words, in any order', 'ada'),
      status: { description: 'Only of this status', choices: ['open', 'receive_only', 'frozen', 'closed'] },
      currency: currency('Only of this currency'),
      metadata: text('Only with this metadata', 'shop:7'),
      order: order('asc', 'desc'),
    },
    list: ACCOUNT_COLUMNS,
  },
  show: {
    summary: 'Show an account.',
    method: 'GET',
    subject: ACCOUNT,
    path: accountPath,
    options: { currency: currency('Of @external: which of its accounts') },
  },
  open: {
    summary: 'Open an account.',
    method: 'POST',
    subject: {
      ...ACCOUNT,
      description: 'Its number; without one it gets one',
      member: 'account_number',
      optional: true,
    },
    path: () => '/accounts',
    options: {
      name: { ...text('Who it belongs to', 'Ada'), required: true },
      currency: currency('Its currency (USD)'),
      balance: { description: 'Transferred from @external', kind: 'money' },
      'overdraft-limit': { description: 'How far below zero it may go (0)', kind: 'money' },
      ...PERSONAL_DATA,
      metadata,
    },
  },
  update: {
    summary: 'Change an account.',
    method: 'PATCH',
    subject: ACCOUNT,
    path: accountPath,
    options: {
      name: text('Who it belongs to', 'Ada'),
      status: { description: 'What it may do', choices: ['open', 'receive_only', 'frozen'] },
      'overdraft-limit': { description: 'How far below zero it may go', kind: 'money' },
      ...PERSONAL_DATA,
      metadata: { ...metadata, description: 'Pairs with commas between them; they replace all former ones' },
    },
    currencyAt: accountPath,
  },
  freeze: {
    summary: 'Freeze an account: it can neither send nor receive.',
    method: 'PATCH',
    subject: ACCOUNT,
    path: accountPath,
    body: { status: 'frozen' },
  },
  thaw: {
    summary: 'Let a frozen account send and receive again.',
    method: 'PATCH',
    subject: ACCOUNT,
    path: accountPath,
    body: { status: 'open' },
  },
  close: {
    summary: 'Close an account for ever; its balance must be zero, and its history stays.',
    method: 'DELETE',
    subject: ACCOUNT,
    path: accountPath,
    done: (number) => `The account ${number} is closed.`,
  },
  entries: {
    summary: 'List the entries of an account.',
    method: 'GET',
    subject: ACCOUNT,
    path: (number) => `${accountPath(number)}/entries`,
    options: {
      since,
      until,
      order: order('newest', 'oldest'),
      currency: currency('Of @external: which of its accounts'),
    },
    list: ENTRY_COLUMNS,
    currencyAt: accountPath,
  },
};

/** The options that a new transfer and a new hold share. */
const ORDER = {
  'from-account': { ...account('The account that pays, or @external'), required: true },
  'to-account': { ...account('The account that receives, or @external'), required: true },
  amount: { description: 'Minor units; with a point, the units of --currency', kind: 'money', required: true },
  currency: currency('Refuse it if an account has another currency'),
  description,
  metadata,
} as const satisfies Record<string, Option>;

const TRANSFERS: Readonly<Record<string, Operation>> = {
  list: {
    summary: 'List transfers, newest first.',
    method: 'GET',
    path: () => '/transfers',
    options: {
      account: account('Only from or to this account'),
      status: { description: 'Only of this status', choices: ['pending', 'completed', 'failed'] },
      kind: {
        description: 'Only of this kind',
        choices: ['transfer', 'hold', 'capture', 'void', 'expiry', 'reversal'],
      },
      'failure-code': text('Only those that failed by this rule', 'insufficient_funds'),
      currency: currency('Only in this currency'),
      'amount-min': amountFilter('Only from this amount on, in minor units'),
      'amount-max': amountFilter('Only up to this amount, in minor units'),
      description: text('Only with exactly this description', 'TEXT'),
      metadata: text('Only with this metadata', 'order:4711'),
      'request-id': text('Only of this request', 'ID'),
      'group-id': text('Only of this group', 'ID'),
      'parent-id': text('Only of this hold, or reversals of this transfer', 'ID'),
      since,
      until,
      order: order('newest', 'oldest'),
    },
    list: TRANSFER_COLUMNS,
  },
  show: {
    summary: 'Show a transfer.',
    method: 'GET',
    subject: TRANSFER,
    path: (id) => `/transfers/${id}`,
  },
  create: {
    summary: 'Move money from an account to another.',
    method: 'POST',
    path: () => '/transfers',
    options: { ...ORDER, 'to-ledger': text('The account that receives is in this ledger', 'NAME') },
    settles: true,
  },
  reverse: {
    summary: 'Undo a transfer, whole or in part.',
    method: 'POST',
    subject: TRANSFER,
    path: (id) => `/transfers/${id}/reversals`,
    options: { amount: { description: 'All that remains by default', kind: 'money' }, description, metadata },
    settles: true,
    currencyAt: (id) => `/transfers/${id}`,
  },
};

const HOLDS: Readonly<Record<string, Operation>> = {
  list: {
    summary: 'List holds, newest first.',
    method: 'GET',
    path: () => '/holds',
    options: {
      account: account('Only on money of this account'),
      state: {
        description: 'Only in this state',
        choices: ['pending', 'failed', 'open', 'captured', 'voided', 'expired'],
      },
      order: order('newest', 'oldest'),
    },
    list: HOLD_COLUMNS,
  },
  show: { summary: 'Show a hold.', method: 'GET', subject: HOLD, path: (id) => `/holds/${id}` },
  create: {
    summary: 'Reserve money of an account for another.',
    method: 'POST',
    path: () => '/holds',
    options: {
      ...ORDER,
      'expires-in': {
        description: 'Seconds until the rest is released; never by default',
        hint: '86400',
        schema: z
          .string({ error: mustBe('a whole number of seconds') })
          .regex(/^[1-9]\d{0,8}$/)
          .transform(Number),
      },
    },
    settles: true,
  },
  capture: {
    summary: 'Move held money, whole or in part.',
    method: 'POST',
    subject: HOLD,
    path: (id) => `/holds/${id}/capture`,
    options: {
      amount: { description: 'All that remains by default', kind: 'money' },
      final: { description: 'Release the rest', kind: 'flag' },
      description,
      metadata,
    },
    settles: true,
    currencyAt: (id) => `/holds/${id}`,
  },
  void: {
    summary: 'Release held money.',
    method: 'POST',
    subject: HOLD,
    path: (id) => `/holds/${id}/void`,
    options: { description, metadata },
    settles: true,
  },
};

const LEDGERS: Readonly<Record<string, Operation>> = {
  list: {
    summary: 'List the ledgers of the service.',
    method: 'GET',
    global: true,
    path: () => '/ledgers',
    options: { order: order('asc', 'desc') },
    list: { columns: ['name', 'created_at', 'clock', 'now'] },
  },
  create: {
    summary: 'Create a ledger.',
    method: 'POST',
    global: true,
    subject: { ...LEDGER, member: 'name' },
    path: () => '/ledgers',
    options: {
      clock: { description: 'manual: a test clock, for ever (real)', choices: ['real', 'manual'] },
      now: { ...since, description: 'The first time of a test clock' },
    },
  },
  advance: {
    summary: 'Advance the test clock of a ledger.',
    method: 'POST',
    global: true,
    subject: LEDGER,
    path: (name) => `/ledgers/${name}/clock`,
    options: { now: { ...since, description: 'The new time', required: true } },
  },
};

function defineResource(name: string, summary: string, operations: Readonly<Record<string, Operation>>): CommandDef {
  return defineCommand({
    meta: { name, description: summary },
    subCommands: Object.fromEntries(
      Object.entries(operations).map(([verb, operation]) => [verb, defineOperation(verb, operation)]),
    ),
  });
}

export const accounts = defineResource('accounts', 'Open, read, change and close accounts.', ACCOUNTS);
export const transfers = defineResource('transfers', 'Move money, and read what was moved.', TRANSFERS);
export const holds = defineResource('holds', 'Reserve money, and capture or release it.', HOLDS);
export const ledgers = defineResource('ledgers', 'Create and list ledgers.', LEDGERS);
