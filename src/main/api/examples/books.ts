// Examples of what callers read and administer.
import { EXTERNAL } from '../../../domain/account.ts';
import {
  account,
  AT,
  type Example,
  FUNDING,
  id,
  KEY,
  list,
  RENT,
  SECOND_KEY,
  transfer,
  type View,
  WAIT,
} from './parts.ts';

const approval = (more: Partial<View<'Approval'>> = {}): View<'Approval'> => ({
  object: 'approval',
  approval_id: id(12),
  kind: 'transfers',
  state: 'pending',
  requested_by: KEY,
  decided_by: null,
  created_at: AT,
  expires_at: AT,
  decided_at: null,
  request: {
    transfers: [
      {
        kind: 'transfer',
        from_account: EXTERNAL,
        to_account: 'ACC1001',
        amount: 5_000_000,
        currency: 'USD',
        parent_id: null,
        description: null,
        metadata: null,
      },
    ],
    atomic: false,
  },
  transfers: null,
  ...more,
});

const ANN = account('ACC1001', 'Ann', {
  email: 'ann@example.com',
  balance: 6070,
  available: 6070,
  entry_count: 7,
  metadata: { customer: '1001' },
});

const CHANGES: readonly Example[] = [
  {
    operationId: 'updateAccount',
    name: 'email',
    parameters: { account_number: 'ACC1001' },
    body: { email: 'ann@example.com' },
    status: 200,
    answer: ANN,
  },
  { operationId: 'getAccount', name: 'one', parameters: { account_number: 'ACC1001' }, status: 200, answer: ANN },
  {
    operationId: 'createAccount',
    name: 'spare',
    body: { account_number: 'SPARE', name: 'Spare', email: 'spare@example.com' },
    status: 201,
    answer: account('SPARE', 'Spare', { email: 'spare@example.com', opening_transfer_id: null }),
  },
  { operationId: 'closeAccount', name: 'empty', parameters: { account_number: 'SPARE' }, status: 204 },
  { operationId: 'erasePersonalData', name: 'closed', parameters: { account_number: 'SPARE' }, status: 204 },
  {
    operationId: 'listAccounts',
    name: 'byMetadata',
    parameters: { metadata: 'customer:1001', limit: '10' },
    status: 200,
    answer: list([ANN]),
  },
];

const HISTORY: readonly Example[] = [
  {
    operationId: 'listEntries',
    name: 'oldest',
    parameters: { account_number: 'ACC1001', order: 'oldest', limit: '2' },
    status: 200,
    answer: list(
      [
        {
          object: 'entry',
          entry_number: 1,
          transfer_id: id(10),
          amount: 10_000,
          balance: 10_000,
          journal_number: 2,
          settled_at: AT,
        },
        {
          object: 'entry',
          entry_number: 2,
          transfer_id: RENT,
          amount: -2500,
          balance: 7500,
          journal_number: 17,
          settled_at: AT,
        },
      ],
      '2',
    ),
  },
  {
    operationId: 'getBalance',
    name: 'past',
    parameters: { account_number: 'ACC1001', at: '2026-01-01T00:00:00Z' },
    status: 200,
    answer: {
      object: 'balance',
      account_number: 'ACC1001',
      currency: 'USD',
      at: '2026-01-01T00:00:00Z',
      balance: 0,
      entry_number: 0,
    },
  },
  {
    operationId: 'getTrialBalance',
    name: 'now',
    status: 200,
    answer: {
      object: 'trial_balance',
      at: null,
      journal_number: 17,
      settled_at: AT,
      currencies: [{ currency: 'USD', account_count: 4, positive: 10_000, negative: -10_000, sum: 0 }],
    },
  },
  {
    operationId: 'getStatement',
    name: 'month',
    parameters: { account_number: 'FEES', month: '2026-11' },
    status: 200,
    answer: {
      object: 'statement',
      account_number: 'FEES',
      name: 'Fees',
      currency: 'USD',
      month: '2026-11',
      begins: AT,
      ends: AT,
      final: false,
      entry_count: 1,
      first_entry_number: 1,
      last_entry_number: 1,
      opening_balance: 0,
      total_in: 30,
      total_out: 0,
      entries: [
        {
          entry_number: 1,
          settled_at: AT,
          transfer_id: id(6),
          kind: 'transfer',
          counterparty: 'ACC1001',
          description: 'Fee',
          amount: 30,
          balance: 30,
        },
      ],
      closing_balance: 30,
    },
  },
  {
    operationId: 'listEvents',
    name: 'first',
    parameters: { after: '1', limit: '1' },
    status: 200,
    answer: {
      object: 'list',
      items: [
        {
          object: 'event',
          ledger: 'main',
          journal_number: 2,
          settled_at: AT,
          hash: '9f'.repeat(32),
          previous_hash: '5c'.repeat(32),
          digest: 'e1'.repeat(32),
          transfer_count: 1,
          change_count: 2,
          transfers: [
            {
              ...transfer(id(10), {
                from_account: EXTERNAL,
                to_account: 'ACC1001',
                amount: 10_000,
                description: 'Opening balance',
                journal_number: 2,
              }),
              type: 'transfer.completed',
              from_entry_number: 1,
              to_entry_number: 1,
            },
          ],
          account_changes: [
            { type: 'account.opened', account_number: EXTERNAL, currency: 'USD', change_number: 1 },
            { type: 'account.opened', account_number: 'ACC1001', currency: 'USD', change_number: 1 },
          ],
        },
      ],
      next: 2,
    },
  },
];

const ROW = {
  ledger: 'main',
  number: 2,
  settled_at: AT,
  hash: '9f'.repeat(32),
  previous_hash: '5c'.repeat(32),
  digest: 'e1'.repeat(32),
  transfer_count: 1,
  change_count: 2,
};

const JOURNAL: readonly Example[] = [
  {
    operationId: 'listJournal',
    name: 'oldest',
    parameters: { order: 'oldest', after: '1', limit: '1' },
    status: 200,
    answer: list([{ object: 'journal_row' as const, ...ROW }], '2'),
  },
  {
    operationId: 'getJournalRow',
    name: 'opening',
    parameters: { number: '2' },
    status: 200,
    answer: {
      object: 'journal_detail',
      ...ROW,
      records: [
        { kind: 'account_change', fields: [EXTERNAL, 'USD', '1', 'a7'.repeat(32), '', ''] },
        { kind: 'account_change', fields: ['ACC1001', 'USD', '1', '3d'.repeat(32), KEY, ''] },
        {
          kind: 'transfer',
          fields: [
            id(10),
            EXTERNAL,
            'ACC1001',
            '10000',
            'USD',
            'completed',
            '',
            '',
            'Opening balance',
            '',
            '1795348801250000',
            '1',
            '-10000',
            '1',
            '10000',
            'transfer',
            '',
            '',
            '',
            '',
            '',
            '',
            '',
            '',
            KEY,
            '',
          ],
        },
      ],
      next_record: null,
    },
  },
];

const APPROVALS: readonly Example[] = [
  {
    operationId: 'createTransfer',
    name: 'waitsForApproval',
    body: { from_account: EXTERNAL, to_account: 'ACC1001', amount: 5_000_000, currency: 'USD' },
    status: 202,
    answer: approval(),
  },
  {
    operationId: 'listApprovals',
    name: 'pending',
    parameters: { state: 'pending' },
    status: 200,
    answer: list([approval()]),
  },
  { operationId: 'getApproval', name: 'pending', parameters: { id: id(12) }, status: 200, answer: approval() },
  {
    operationId: 'decideApproval',
    name: 'approve',
    ...WAIT,
    parameters: { id: id(12) },
    body: { decision: 'approve' },
    bySecondKey: true,
    status: 200,
    answer: approval({
      state: 'approved',
      decided_by: SECOND_KEY,
      decided_at: AT,
      transfers: [
        transfer(FUNDING, {
          from_account: EXTERNAL,
          to_account: 'ACC1001',
          amount: 5_000_000,
          approved_by: SECOND_KEY,
        }),
      ],
    }),
  },
  {
    operationId: 'listAuditLog',
    name: 'newest',
    parameters: { refused: 'false', limit: '1' },
    status: 200,
    answer: list(
      [
        {
          object: 'audit_log_entry' as const,
          id: id(14),
          at: AT,
          action: 'approval.approved',
          actor: SECOND_KEY,
          subject: id(12),
          address: null,
          count: 1,
          journal_number: 17,
          details: { requested_by: KEY },
        },
      ],
      id(14),
    ),
  },
];

export const BOOK_EXAMPLES: readonly Example[] = [...CHANGES, ...HISTORY, ...JOURNAL, ...APPROVALS];
