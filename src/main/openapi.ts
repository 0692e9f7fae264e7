// The OpenAPI document, made from the routes and from the schemas that parse their requests.
import { z } from 'zod';
import { ACCOUNT_STATUSES } from '../domain/account.ts';
import { MAIN_LEDGER } from '../domain/ledger.ts';
import { FAILURE_CODES, TRANSFER_KINDS } from '../domain/transfer.ts';
import { PROBLEMS } from './problem.ts';
import { NO_BODY, type Route } from './route.ts';
import { MOVEMENT_PARAMETERS } from './schemas.ts';

const minorUnits = z.int().describe('Minor units (cents), an integer.');
const instant = z.iso.datetime().describe('RFC 3339, UTC, microseconds.');
const metadata = z.record(z.string(), z.string());
const cursor = z.string().nullable().describe('Send it as `after` for the next page; null at the end.');

const account = z.object({
  account_number: z.string(),
  name: z.string(),
  email: z.string().nullable(),
  phone: z.string().nullable(),
  date_of_birth: z.string().nullable(),
  currency: z.string(),
  status: z.enum(ACCOUNT_STATUSES),
  balance: minorUnits,
  held: minorUnits,
  overdraft_limit: minorUnits,
  available: minorUnits
    .nullable()
    .describe('balance − held + overdraft_limit, at most 9007199254740991; null for @external.'),
  entry_count: z.int(),
  metadata,
  created_at: instant,
  opening_transfer_id: z.uuid().nullable().optional().describe('Only in the answer to POST /accounts.'),
});

const ledger = z.object({ name: z.string(), created_at: instant });

const transfer = z.object({
  id: z.uuid(),
  kind: z.enum(TRANSFER_KINDS),
  status: z.enum(['pending', 'completed', 'failed']),
  failure_code: z.enum(FAILURE_CODES).nullable(),
  from_account: z.string(),
  to_account: z.string(),
  amount: minorUnits.nullable().describe('Null while it is not known what is left of the parent.'),
  currency: z.string().nullable(),
  parent_id: z.uuid().nullable().describe('The hold or the transfer that it is about.'),
  group_id: z.uuid().nullable(),
  description: z.string().nullable(),
  metadata: metadata.nullable(),
  request_id: z.string(),
  created_at: instant,
  completed_at: instant.nullable(),
  journal_number: z.int().nullable(),
  dry_run: z.literal(true).optional(),
});

const group = z.object({
  group_id: z.uuid(),
  atomic: z.boolean(),
  transfers: z.array(transfer),
  dry_run: z.literal(true).optional(),
});

const hold = z.object({
  id: z.uuid().describe('The id of the transfer of kind hold that made it.'),
  state: z.enum(['pending', 'failed', 'open', 'captured', 'voided', 'expired']),
  failure_code: z.enum(FAILURE_CODES).nullable(),
  from_account: z.string(),
  to_account: z.string(),
  currency: z.string().nullable(),
  amount: minorUnits,
  captured: minorUnits,
  released: minorUnits,
  remaining: minorUnits,
  created_at: instant,
  expires_at: instant.nullable(),
});

const entry = z.object({
  entry_number: z.int(),
  transfer_id: z.uuid(),
  amount: minorUnits,
  balance: minorUnits.describe('The balance after this entry.'),
  journal_number: z.int(),
  settled_at: instant,
});

const hash = z.string().describe('SHA-256, in lower-case hexadecimal.');
const sumOfMoney = z.int().describe('Minor units, an integer that may be larger than 2^53.');

const event = z.object({
  journal_number: z.int().describe('1, 2, 3 … without gaps, in commit order.'),
  settled_at: instant,
  hash,
  previous_hash: hash.describe('The `hash` of the event before; 64 zeros for the first.'),
  transfers: z
    .array(
      transfer.extend({
        from_entry_number: z.int().nullable().describe("The source's entry; null where no money moved."),
        to_entry_number: z.int().nullable().describe("The destination's entry."),
      }),
    )
    .describe('Those that one job settled, completed and failed.'),
  account_changes: z
    .array(z.object({ account_number: z.string(), currency: z.string(), change_number: z.int() }))
    .describe('The accounts that were opened or changed; read them for their current state.'),
});

const statement = z.object({
  account_number: z.string(),
  name: z.string(),
  currency: z.string(),
  month: z.string().describe('Such as 2026-11, in UTC.'),
  begins: instant,
  ends: instant.describe('The next month begins.'),
  final: z.boolean().describe('Whether nothing can be added any more: the journal is closed past the month.'),
  entry_count: z.int(),
  first_entry_number: z.int().nullable(),
  last_entry_number: z.int().nullable(),
  opening_balance: minorUnits.describe('The closing balance of the month before.'),
  total_in: sumOfMoney,
  total_out: sumOfMoney,
  entries: z.array(
    z.object({
      entry_number: z.int(),
      settled_at: instant,
      transfer_id: z.uuid(),
      kind: z.enum(TRANSFER_KINDS),
      counterparty: z.string().describe("The other account's number."),
      description: z.string().nullable(),
      amount: minorUnits.describe('Negative: it left the account.'),
      balance: minorUnits.describe('The balance after this entry.'),
    }),
  ),
  closing_balance: minorUnits.describe('Comes last: an answer that broke off does not have it.'),
});

const trialBalance = z.object({
  at: z.string().nullable(),
  journal_number: z.int().describe('The last row of the journal that counts.'),
  settled_at: instant.nullable(),
  currencies: z.array(
    z.object({
      currency: z.string(),
      account_count: z.int().describe('Accounts that had entries, @external among them.'),
      positive: sumOfMoney,
      negative: sumOfMoney,
      sum: z.int().describe('Always 0.'),
    }),
  ),
});

/** The schema of each answer, by the name that routes give it. */
export const ANSWER_SCHEMAS: Readonly<Record<string, z.ZodType>> = {
  Ledger: ledger,
  LedgerPage: z.object({ items: z.array(ledger), next: cursor }),
  Account: account,
  AccountPage: z.object({ items: z.array(account), next: cursor }),
  AccountOrAccounts: z.union([account, z.object({ accounts: z.array(account) })]),
  Transfer: transfer,
  Group: group,
  TransferOrGroup: z.union([transfer, group]),
  Hold: hold,
  TransferPage: z.object({ items: z.array(transfer), next: cursor }),
  Entry: entry,
  EntryPage: z.object({ items: z.array(entry), next: cursor }),
  Balance: z.object({
    account_number: z.string(),
    currency: z.string(),
    at: z.string().nullable(),
    balance: minorUnits,
    entry_number: z.int().describe('The last entry up to then; 0 if there was none.'),
  }),
  TrialBalance: trialBalance,
  Statement: statement,
  Event: event,
  EventPage: z.object({ items: z.array(event), next: z.int().describe('Send it as `after` for the next page.') }),
  Health: z.object({ status: z.string() }),
  Metrics: z.string(),
  OpenApi: z.looseObject({}),
  Problem: z.object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    code: z.enum(Object.keys(PROBLEMS)),
    detail: z.string(),
    request_id: z.string(),
    errors: z
      .array(z.object({ pointer: z.string(), detail: z.string() }))
      .optional()
      .describe('With invalid_request: where.'),
    transfer_id: z
      .uuid()
      .optional()
      .describe('With idempotency_key_reused and outcome_unknown: of which transfer, or group of transfers.'),
    account_number: z.string().optional().describe('With outcome_unknown of a new account: of which.'),
    ledger: z.string().optional().describe('With idempotency_key_reused: the ledger that the key created.'),
  }),
};

/** Whether a route creates transfers, and accepts the parameters that all of them have. */
const ordersMovement = ({ query }: Route): boolean => query === MOVEMENT_PARAMETERS;

const HEADERS: Readonly<
  Record<string, { schema: Record<string, unknown>; description: string; isTaken: (route: Route) => boolean }>
> = {
  'X-Request-ID': { schema: { type: 'string' }, description: 'Yours; one is made otherwise.', isTaken: () => true },
  'Last-Event-ID': {
    schema: { type: 'string' },
    description: 'With Accept: text/event-stream: the id of the last event you have; it outranks `after`.',
    isTaken: ({ answers }) => Object.values(answers).includes('EventPage'),
  },
  'Idempotency-Key': {
    schema: { type: 'string', maxLength: 255 },
    description: 'One key names one request, for ever.',
    isTaken: ({ method }) => method === 'POST',
  },
  Prefer: {
    schema: { type: 'string', examples: ['wait=5'] },
    description:
      'wait=n: answer when the transfer is final, or after n seconds (at most WAIT_TIMEOUT_MS, 30 s by default).',
    isTaken: ordersMovement,
  },
};

/** What else an answer can be, if the request's Accept header says so. */
const OTHER_TYPES: Readonly<Record<string, readonly string[]>> = {
  Statement: ['text/csv', 'text/html'],
  EventPage: ['text/event-stream'],
};

/** The document, as an object that is JSON already. */
export function renderOpenApi(routes: readonly Route[]): Record<string, unknown> {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const route of routes) {
    const path = route.pattern.replaceAll(/:(\w+)/g, '{$1}');
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: renderOperation(route) };
  }
  const schemas = Object.fromEntries(
    Object.entries(ANSWER_SCHEMAS).map(([name, schema]) => [name, renderSchema(schema, 'output')]),
  );
  return {
    openapi: '3.1.0',
    info: { title: 'GopherPay', version: '0.1.0', description: 'Accounts and transfers on PostgreSQL.' },
    servers: [
      { url: '/', description: `The ledger ${MAIN_LEDGER.name}.` },
      {
        url: '/ledgers/{ledger}',
        description: 'Any ledger.',
        variables: { ledger: { default: MAIN_LEDGER.name, description: 'The name of the ledger.' } },
      },
    ],
    paths,
    components: { schemas },
  };
}

function renderOperation(route: Route): Record<string, unknown> {
  const answers = Object.entries(route.answers).map(([status, name]) => [status, renderAnswer(name)]);
  return {
    summary: route.summary,
    // Not of a ledger: it has no path under /ledgers/{ledger}.
    ...(route.global && { servers: [{ url: '/' }] }),
    parameters: [...pathParameters(route), ...queryParameters(route), ...headerParameters(route)],
    ...(route.body !== NO_BODY && {
      requestBody: {
        required: route.bodyOptional !== true,
        content: { 'application/json': { schema: renderSchema(route.body, 'input') } },
      },
    }),
    responses: {
      ...Object.fromEntries(answers),
      default: {
        description: 'A problem (RFC 9457)',
        content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
      },
    },
  };
}

function renderAnswer(name: string | null): Record<string, unknown> {
  if (name === null) return { description: 'Done' };
  const type = name === 'Metrics' ? 'text/plain' : 'application/json';
  const others = (OTHER_TYPES[name] ?? []).map((other) => [other, { schema: { type: 'string' } }]);
  const content = { [type]: { schema: { $ref: `#/components/schemas/${name}` } }, ...Object.fromEntries(others) };
  return { description: name, content };
}

function pathParameters(route: Route): Record<string, unknown>[] {
  return [...route.pattern.matchAll(/:(\w+)/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' },
  }));
}

function queryParameters(route: Route): Record<string, unknown>[] {
  const { properties, required } = renderSchema(route.query, 'input') as {
    properties?: Record<string, unknown>;
    required?: string[];
  };
  return Object.entries(properties ?? {}).map(([name, schema]) => ({
    name,
    in: 'query',
    required: required?.includes(name) ?? false,
    schema,
  }));
}

function headerParameters(route: Route): Record<string, unknown>[] {
  return Object.entries(HEADERS)
    .filter(([, header]) => header.isTaken(route))
    .map(([name, { schema, description }]) => ({ name, in: 'header', required: false, schema, description }));
}

function renderSchema(schema: z.ZodType, io: 'input' | 'output'): Record<string, unknown> {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io, unrepresentable: 'any' });
  return rest;
}
