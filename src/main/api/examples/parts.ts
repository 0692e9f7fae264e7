// What the examples of the OpenAPI document are made of. Their ids, instants, hashes and numbers of the journal differ
// from run to run.
import type { z } from 'zod';
import type { problemView } from '../../http/problem.ts';
import type { ANSWER_VIEWS, AnswerJson } from '../views.ts';

export type Example = {
  readonly operationId: string;
  /** Its name in the document. */
  readonly name: string;
  /** The parameters of its path and of its query. */
  readonly parameters?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  /** The ledger of its path, unless that is main. */
  readonly ledger?: string;
  readonly body?: object;
  readonly status: number;
  /** None: the answer has no body, or one that is not JSON. */
  readonly answer?: AnswerJson | z.input<typeof problemView>;
  /** Whether a second key sends it. */
  readonly bySecondKey?: boolean;
};

export type View<Name extends keyof typeof ANSWER_VIEWS> = z.input<(typeof ANSWER_VIEWS)[Name]>;

export const AT = '2026-11-22T12:00:01.25Z';
export const KEY = 'k7m2q9x4w1';
export const SECOND_KEY = 'h3v8c5n6z0';
export const WAIT = { headers: { Prefer: 'wait=5' } };

/** The ids of the examples. */
export const id = (number: number): string => `01935d1c-8f2b-7c3a-9a41-${String(number).padStart(12, '0')}`;
export const [RENT, LUNCH, GROUP, HOLD, FUNDING] = [id(1), id(2), id(4), id(7), id(13)];

export const ledger = (name: string, more: Partial<View<'Ledger'>> = {}): View<'Ledger'> => ({
  object: 'ledger',
  name,
  created_at: AT,
  clock: 'real',
  now: null,
  ...more,
});

export const account = (number: string, name: string, more: Partial<View<'Account'>> = {}): View<'Account'> => ({
  object: 'account',
  account_number: number,
  name,
  email: null,
  phone: null,
  date_of_birth: null,
  currency: 'USD',
  status: 'open',
  balance: 0,
  held: 0,
  overdraft_limit: 0,
  available: 0,
  entry_count: 0,
  metadata: {},
  created_at: AT,
  ...more,
});

export const transfer = (transferId: string, more: Partial<View<'Transfer'>> = {}): View<'Transfer'> => ({
  object: 'transfer',
  id: transferId,
  kind: 'transfer',
  status: 'completed',
  failure_code: null,
  from_account: 'ACC1001',
  to_account: 'ACC1002',
  amount: 2500,
  currency: 'USD',
  parent_id: null,
  group_id: null,
  conversion: null,
  description: null,
  metadata: null,
  request_id: transferId,
  ordered_by: KEY,
  approved_by: null,
  created_at: AT,
  completed_at: AT,
  journal_number: 17,
  ...more,
});

export const list = <Item>(
  items: Item[],
  next: string | null = null,
): { object: 'list'; items: Item[]; next: string | null } => ({
  object: 'list',
  items,
  next,
});

export const hold = (more: Partial<View<'Hold'>>): View<'Hold'> => ({
  object: 'hold',
  id: HOLD,
  state: 'open',
  failure_code: null,
  from_account: 'ACC1001',
  to_account: 'ACC1002',
  currency: 'USD',
  amount: 3000,
  captured: 0,
  released: 0,
  remaining: 3000,
  created_at: AT,
  expires_at: null,
  ...more,
});

export const problem = (
  code: string,
  about: {
    requestId: string;
    status: number;
    title: string;
    detail: string;
    errors?: { pointer: string; detail: string }[];
  },
): z.input<typeof problemView> => {
  const { status, title, detail, errors, requestId } = about;
  const core = { type: `urn:gopherpay:problem:${code}`, title, status, code, detail, request_id: requestId };
  return { ...core, ...(errors && { errors }) };
};
