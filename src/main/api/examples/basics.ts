// Examples of what callers do first: open accounts, move money, hold it.
import {
  account,
  type Example,
  GROUP,
  HOLD,
  hold,
  id,
  ledger,
  list,
  LUNCH,
  problem,
  RENT,
  transfer,
  WAIT,
} from './parts.ts';

const OPERATION: readonly Example[] = [
  { operationId: 'getHealth', name: 'alive', status: 200, answer: { status: 'alive' } },
  { operationId: 'getReadiness', name: 'ready', status: 200, answer: { status: 'ready' } },
  { operationId: 'getMetrics', name: 'metrics', status: 200 },
  { operationId: 'getOpenApi', name: 'document', status: 200 },
  { operationId: 'getAccess', name: 'everything', status: 200 },
  { operationId: 'getActivity', name: 'activity', status: 200 },
];

const LEDGERS: readonly Example[] = [
  { operationId: 'createLedger', name: 'shop', body: { name: 'shop' }, status: 201, answer: ledger('shop') },
  { operationId: 'listLedgers', name: 'all', status: 200, answer: list([ledger('main'), ledger('shop')]) },
  { operationId: 'getLedger', name: 'shop', parameters: { ledger: 'shop' }, status: 200, answer: ledger('shop') },
  {
    operationId: 'createLedger',
    name: 'with a test clock',
    body: { name: 'sandbox', clock: 'manual', now: '2026-01-15T10:00:00Z' },
    status: 201,
    answer: ledger('sandbox', { clock: 'manual', now: '2026-01-15T10:00:00Z' }),
  },
  {
    operationId: 'advanceClock',
    name: 'by 31 days',
    ledger: 'sandbox',
    body: { now: '2026-02-15T10:00:00Z' },
    status: 200,
    answer: ledger('sandbox', { clock: 'manual', now: '2026-02-15T10:00:00Z' }),
  },
];

const ACCOUNTS: readonly Example[] = [
  {
    operationId: 'createAccount',
    name: 'one',
    body: { account_number: 'ACC1001', name: 'Ann', balance: 10_000, metadata: { customer: '1001' } },
    status: 201,
    answer: account('ACC1001', 'Ann', {
      balance: 10_000,
      available: 10_000,
      entry_count: 1,
      metadata: { customer: '1001' },
      opening_transfer_id: id(10),
    }),
  },
  {
    operationId: 'createAccount',
    name: 'several',
    body: {
      accounts: [
        { account_number: 'ACC1002', name: 'Bob', overdraft_limit: 500 },
        { account_number: 'FEES', name: 'Fees' },
      ],
    },
    status: 201,
    answer: {
      object: 'accounts',
      accounts: [
        account('ACC1002', 'Bob', { overdraft_limit: 500, available: 500, opening_transfer_id: null }),
        account('FEES', 'Fees', { opening_transfer_id: null }),
      ],
    },
  },
  {
    operationId: 'createAccount',
    name: 'taken',
    body: { account_number: 'ACC1001', name: 'Ann' },
    status: 409,
    answer: problem('account_exists', {
      requestId: id(15),
      status: 409,
      title: 'The account number is taken',
      detail: 'An account with this number already exists.',
      errors: [{ pointer: '/account_number', detail: '`account_number` is taken' }],
    }),
  },
];

const SPLIT = id(30);
const TRIED = { group_id: SPLIT, request_id: SPLIT, journal_number: null };

const TRANSFERS: readonly Example[] = [
  {
    operationId: 'createTransfer',
    name: 'settled',
    headers: { Prefer: 'wait=5', 'Idempotency-Key': 'rent-2026-11' },
    body: { from_account: 'ACC1001', to_account: 'ACC1002', amount: 2500 },
    status: 200,
    answer: transfer(RENT),
  },
  {
    operationId: 'createTransfer',
    name: 'failed',
    ...WAIT,
    body: { from_account: 'FEES', to_account: 'ACC1002', amount: 100 },
    status: 200,
    answer: transfer(id(3), {
      status: 'failed',
      failure_code: 'insufficient_funds',
      from_account: 'FEES',
      amount: 100,
    }),
  },
  {
    operationId: 'createTransfer',
    name: 'group',
    ...WAIT,
    body: {
      transfers: [
        { from_account: 'ACC1001', to_account: 'ACC1002', amount: 1000, description: 'Invoice 7' },
        { from_account: 'ACC1001', to_account: 'FEES', amount: 30, description: 'Fee' },
      ],
      atomic: true,
    },
    status: 200,
    answer: {
      object: 'group',
      group_id: GROUP,
      atomic: true,
      transfers: [
        transfer(id(5), { amount: 1000, description: 'Invoice 7', group_id: GROUP, request_id: GROUP }),
        transfer(id(6), {
          to_account: 'FEES',
          amount: 30,
          description: 'Fee',
          group_id: GROUP,
          request_id: GROUP,
        }),
      ],
    },
  },
  {
    operationId: 'createTransfer',
    name: 'split',
    parameters: { dry_run: 'true' },
    body: {
      transfers: [
        { from_account: 'ACC1001', to_account: 'FEES', share: { basis_points: 290, plus: 30 } },
        { from_account: 'ACC1001', to_account: 'ACC1002', remainder: {} },
      ],
      atomic: true,
      total: 1000,
    },
    status: 200,
    answer: {
      object: 'group',
      group_id: SPLIT,
      atomic: true,
      transfers: [
        transfer(id(31), { to_account: 'FEES', amount: 59, ...TRIED }),
        transfer(id(32), { to_account: 'ACC1002', amount: 941, ...TRIED }),
      ],
      dry_run: true,
    },
  },
  {
    operationId: 'createTransfer',
    name: 'malformed',
    body: { from_account: 'ACC1001', to_account: 'ACC1002', amount: '5' },
    status: 400,
    answer: problem('invalid_request', {
      requestId: id(16),
      status: 400,
      title: 'The request is not well formed',
      detail: 'The request is not valid; `errors` names each member that is wrong.',
      errors: [
        { pointer: '/amount', detail: '`amount` must be an integer in minor units, from 1 to 9007199254740991' },
      ],
    }),
  },
  { operationId: 'getTransfer', name: 'settled', parameters: { id: RENT }, status: 200, answer: transfer(RENT) },
  {
    operationId: 'listTransfers',
    name: 'ofGroup',
    parameters: { group_id: GROUP, account: 'FEES' },
    status: 200,
    answer: list([
      transfer(id(6), { to_account: 'FEES', amount: 30, description: 'Fee', group_id: GROUP, request_id: GROUP }),
    ]),
  },
  {
    operationId: 'reverseTransfer',
    name: 'part',
    ...WAIT,
    parameters: { id: RENT },
    body: { amount: 500, description: 'Heating' },
    status: 200,
    answer: transfer(id(9), {
      kind: 'reversal',
      from_account: 'ACC1002',
      to_account: 'ACC1001',
      amount: 500,
      parent_id: RENT,
      description: 'Heating',
    }),
  },
  {
    operationId: 'createTransfer',
    name: 'accepted',
    body: { from_account: 'ACC1002', to_account: 'ACC1001', amount: 100, currency: 'USD', description: 'Lunch' },
    status: 202,
    answer: transfer(LUNCH, {
      status: 'pending',
      from_account: 'ACC1002',
      to_account: 'ACC1001',
      amount: 100,
      description: 'Lunch',
      completed_at: null,
      journal_number: null,
    }),
  },
];

const HOLDS: readonly Example[] = [
  {
    operationId: 'createHold',
    name: 'open',
    ...WAIT,
    body: { from_account: 'ACC1001', to_account: 'ACC1002', amount: 3000 },
    status: 200,
    answer: transfer(HOLD, { kind: 'hold', amount: 3000 }),
  },
  {
    operationId: 'listHolds',
    name: 'open',
    parameters: { account: 'ACC1001', state: 'open' },
    status: 200,
    answer: list([hold({})]),
  },
  { operationId: 'getHold', name: 'open', parameters: { id: HOLD }, status: 200, answer: hold({}) },
  {
    operationId: 'captureHold',
    name: 'part',
    ...WAIT,
    parameters: { id: HOLD },
    body: { amount: 1000 },
    status: 200,
    answer: transfer(id(8), { kind: 'capture', amount: 1000, parent_id: HOLD }),
  },
  {
    operationId: 'voidHold',
    name: 'remainder',
    ...WAIT,
    parameters: { id: HOLD },
    body: { description: 'Not needed' },
    status: 200,
    answer: transfer(id(11), { kind: 'void', amount: 2000, parent_id: HOLD, description: 'Not needed' }),
  },
  {
    operationId: 'getHold',
    name: 'voided',
    parameters: { id: HOLD },
    status: 200,
    answer: hold({ state: 'voided', captured: 1000, released: 2000, remaining: 0 }),
  },
];

export const BASIC_EXAMPLES: readonly Example[] = [...OPERATION, ...LEDGERS, ...ACCOUNTS, ...TRANSFERS, ...HOLDS];
