// The schemas of requests. They parse bodies and query parameters, and the OpenAPI document is made from them.
import { z } from 'zod';
import { ACCOUNT_FORM, ACCOUNT_STATUSES, EXTERNAL, NEW_ACCOUNT_FORM } from '../../domain/account.ts';
import { CONTRA_FORM, LEDGER_PREFIX } from '../../domain/between-ledgers.ts';
import { LEDGER_NAME_FORM } from '../../domain/ledger.ts';
import { HOLD_STATES } from '../../domain/hold.ts';
import { MONEY_MAX } from '../../domain/money.ts';
import type { MetadataFilter } from '../../db/queries/metadata.ts';
import { STATEMENT_FORMATS } from '../../render/statement.ts';
import { FAILURE_CODES, TRANSFER_KINDS } from '../../domain/transfer.ts';
import { instant, mustBe } from '../../validation.ts';
import { ERRORS_MAX, invalidRequest, toValidationError, unknownMembers } from '../http/problem.ts';
import { REQUEST_ID_FORM } from '../http/head.ts';
import { after, alphabetical, amountFilter, limit, order } from './list-parameters.ts';

const MONEY_MAX_NUMBER = Number(MONEY_MAX);
export const GROUP_MAX = 1000;
const EXPIRES_IN_MAX = 10 * 365 * 24 * 3600;

/**
 * Characters that no text may contain, because they end lines, are invisible, or change how the text around them is
 * displayed. That would affect terminals, CSV and the statement page. They are control characters of both sets, line
 * separators, text-direction controls, byte order marks, annotations and noncharacters. The joiners of emoji and of
 * many scripts are allowed. `isPlain` checks code points above U+FFFF.
 */
const REFUSED =
  '\\u0000-\\u001f\\u007f-\\u009f\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u206f\\ufdd0-\\ufdef\\ufeff\\ufff9-\\ufffb\\ufffe\\uffff';
const REFUSED_DETAIL = 'must not contain control characters, line separators, text-direction controls or noncharacters';

/** Whether a text is well-formed Unicode without noncharacters, so that PostgreSQL and every reader accept it. */
const isPlain = (value: string): boolean => !/[\p{Cs}\p{Noncharacter_Code_Point}]/u.test(value);

/** Text with at least one character. `max` counts code points. */
export const text = (max: number) =>
  z
    .string({ error: mustBe(`text of 1 to ${max} characters`) })
    .min(1)
    .max(max, { abort: true })
    .regex(new RegExp(`^[^${REFUSED}]*$`), REFUSED_DETAIL)
    .refine(isPlain, 'must be well-formed Unicode');

export const money = z
  .int({ error: mustBe(`an integer in minor units, from 0 to ${MONEY_MAX}`) })
  .min(0)
  .max(MONEY_MAX_NUMBER)
  .describe('Minor units (cents), an integer.');

/** The handler refuses an amount below 1, which has its own problem code. */
export const amount = z
  .int({ error: mustBe(`an integer in minor units, from 1 to ${MONEY_MAX}`) })
  .max(MONEY_MAX_NUMBER);

const accountNumber = z
  .string({ error: mustBe('1 to 34 of A-Z a-z 0-9 . _ -, and neither . nor ..') })
  .regex(NEW_ACCOUNT_FORM)
  .describe('1 to 34 of A-Z a-z 0-9 . _ -, neither . nor ..');

export const party = z
  .string({ error: mustBe(`1 to 34 of A-Z a-z 0-9 . _ -, or ${EXTERNAL}`) })
  .regex(ACCOUNT_FORM)
  .describe(`An account number, or ${EXTERNAL}, through which money enters and leaves.`);

/** Any account that has entries: callers may read those of other ledgers, too. */
export const anyAccount = z
  .string({ error: mustBe(`an account number, ${EXTERNAL}, or ${LEDGER_PREFIX} and the name of a ledger`) })
  .regex(new RegExp(`${ACCOUNT_FORM.source}|${CONTRA_FORM.source}`))
  .describe(`An account number, ${EXTERNAL}, or ${LEDGER_PREFIX}NAME, which stands for another ledger.`);

export const currency = z.currencyCode().describe('ISO 4217, three capital letters.');

export const METADATA_KEYS_MAX = 50;
/**
 * For keys and values together. A full queue of the largest transfers must fit into memory, and so must a page of them.
 */
export const METADATA_BYTES_MAX = 8192;
const METADATA_KEY = /^[A-Za-z][A-Za-z0-9_.-]{0,39}$/;
const metadataKey = z
  .string()
  .regex(METADATA_KEY, 'is not a key of metadata: that is a letter, then at most 39 of A-Z a-z 0-9 _ . -');
const metadataValue = text(500);
/** A form that is certainly valid, because the schema of texts takes several times as long. */
const PLAIN_TEXT = /^[ -~]{1,500}$/;

export const metadata = z
  .custom<Record<string, string>>((value) => typeof value === 'object' && value !== null && !Array.isArray(value), {
    error: mustBe('an object whose members are text'),
  })
  .superRefine((value, context) => {
    for (const { message, path } of metadataErrors(value)) context.addIssue({ code: 'custom', message, path });
  })
  .meta({
    ...jsonSchemaOf(z.record(metadataKey, metadataValue)),
    maxProperties: METADATA_KEYS_MAX,
    description:
      `At most ${METADATA_KEYS_MAX} keys, each with a text of at most 500 characters; ` +
      `keys and values together at most ${METADATA_BYTES_MAX} bytes of UTF-8.`,
  });

/**
 * The errors of metadata, at most ERRORS_MAX, because a body has room for 50,000. A record of zod would collect all of
 * them.
 */
function metadataErrors(value: Readonly<Record<string, unknown>>): { message: string; path: PropertyKey[] }[] {
  const members = Object.entries(value);
  if (members.length > METADATA_KEYS_MAX) {
    return [{ message: `must have at most ${METADATA_KEYS_MAX} keys`, path: [] }];
  }
  const errors: { message: string; path: PropertyKey[] }[] = [];
  let bytes = 0;
  for (const [key, member] of members) {
    const isPlain = typeof member === 'string' && PLAIN_TEXT.test(member);
    const issues = [
      ...(METADATA_KEY.test(key) ? [] : issuesOf(metadataKey, key)),
      ...(isPlain ? [] : issuesOf(metadataValue, member)),
    ];
    errors.push(...issues.map(({ message }) => ({ message, path: [key] })));
    if (errors.length >= ERRORS_MAX) return errors;
    if (typeof member === 'string') bytes += key.length + (isPlain ? member.length : Buffer.byteLength(member));
  }
  if (errors.length === 0 && bytes > METADATA_BYTES_MAX) {
    const message = `must have at most ${METADATA_BYTES_MAX} bytes of UTF-8, keys and values together`;
    return [{ message, path: [] }];
  }
  return errors;
}

function issuesOf(schema: z.ZodType, value: unknown): readonly z.core.$ZodIssue[] {
  return schema.safeParse(value).error?.issues ?? [];
}

/** How the OpenAPI document describes a schema that checks its members itself. */
function jsonSchemaOf(schema: z.ZodType): Record<string, unknown> {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' });
  return rest;
}

/** The dot-atom of RFC 5322, at a domain name of at least two labels, the last of which begins with a letter. */
const EMAIL_FORM =
  /^[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z][A-Za-z0-9-]{0,61}[A-Za-z0-9]$/;
const EMAIL_EXPECTED = 'an email address such as ann@example.com, an international domain in its ASCII form (xn--)';

const person = {
  name: text(200),
  // The length first: matching the form against a megabyte takes a tenth of a second.
  email: z
    .string({ error: mustBe(EMAIL_EXPECTED) })
    .max(254, { abort: true })
    .regex(EMAIL_FORM)
    .meta({ format: 'email', description: 'ASCII without quotes; an international domain as xn--.' })
    .nullable()
    .optional(),
  phone: z
    .string({ error: mustBe('a telephone number: 3 to 30 digits, spaces and ( ) . -, perhaps with a + in front') })
    .regex(/^\+?[0-9 ().-]{3,30}$/)
    .describe('3 to 30 of 0-9 ( ) . - and spaces, perhaps after a +.')
    .nullable()
    .optional(),
  date_of_birth: z.iso
    .date()
    .refine((value) => value >= '1850-01-01', 'must not be before 1850')
    .describe('From 1850 on.')
    .nullable()
    .optional(),
};

export const createAccountSchema = z.strictObject({
  account_number: accountNumber
    .optional()
    .describe('1 to 34 of A-Z a-z 0-9 . _ -, neither . nor ..; by default the service makes one.'),
  ...person,
  currency: currency.default('USD'),
  balance: money.default(0).describe('Minor units: transferred from @external when the account is opened.'),
  overdraft_limit: money.default(0).describe('Minor units: how far below zero the balance may go.'),
  metadata: metadata.default({}),
});

export const createAccountsSchema = z.strictObject({
  accounts: z
    .array(createAccountSchema, { error: mustBe(`an array of 1 to ${GROUP_MAX} accounts`) })
    .min(1)
    .max(GROUP_MAX)
    .describe('Accounts that are opened all or none, in one job.'),
});

export const updateAccountSchema = z.strictObject({
  ...person,
  name: person.name.optional(),
  overdraft_limit: money.optional().describe('Minor units: not less than is drawn or held.'),
  metadata: metadata.optional(),
  status: z
    .enum(['open', 'receive_only', 'frozen'])
    .optional()
    .describe('receive_only: may not send; frozen: may neither send nor receive.'),
});

/** Fields of an account that a caller cannot change. */
export const IMMUTABLE_FIELDS = [
  'account_number',
  'balance',
  'currency',
  'held',
  'available',
  'entry_count',
  'created_at',
];

export const conditions = z.strictObject({
  from_entry_number: z
    .int({ error: mustBe('an integer of 0 or more') })
    .min(0)
    .optional()
    .describe("The number of the source's last entry: nothing has changed since the caller read it."),
  min_available_after: z
    .int({ error: mustBe('an integer in minor units') })
    .min(-MONEY_MAX_NUMBER)
    .max(MONEY_MAX_NUMBER)
    .optional()
    .describe('The least available amount of the source afterwards, in minor units.'),
});

const note = {
  description: text(500).nullable().optional(),
  metadata: metadata.nullable().optional(),
};

export const createTransferSchema = z.strictObject({
  from_account: party,
  to_account: party,
  to_ledger: z
    .string({ error: mustBe('the name of a ledger') })
    .regex(LEDGER_NAME_FORM)
    .optional()
    .describe('Another ledger, in which to_account is. The transfer is pending until both ledgers have settled it.'),
  amount: amount.describe('Minor units (cents), a positive integer.'),
  currency: currency.optional().describe('ISO 4217; if present, both accounts must have it.'),
  ...note,
  if: conditions.optional().describe('Conditions that must be met when the transfer is settled.'),
});

const partOfParent = amount.optional().describe('Minor units; the remaining amount by default.');

export const reverseTransferSchema = z.strictObject({ amount: partOfParent, ...note });

export const createHoldSchema = createTransferSchema.omit({ to_ledger: true }).extend({
  expires_in: z
    .int({ error: mustBe(`a whole number of seconds, from 1 to ${EXPIRES_IN_MAX}`) })
    .min(1)
    .max(EXPIRES_IN_MAX)
    .optional()
    .describe('Seconds from created_at until it expires; never by default.'),
});

export const captureHoldSchema = z.strictObject({
  amount: partOfParent,
  final: z.boolean().default(false).describe('Release the remaining amount of the hold.'),
  ...note,
});

export const voidHoldSchema = z.strictObject(note);

export const listHoldsSchema = z.strictObject({
  account: anyAccount.optional().describe('The account whose money is reserved.'),
  state: z
    .enum(['pending', 'failed', ...HOLD_STATES])
    .optional()
    .describe('All but failed ones by default. Other states than pending need account.'),
  order,
  limit,
  after,
});

/** The query parameters that every kind of transfer accepts. */
export const TRANSFER_PARAMETERS = z.strictObject({
  dry_run: z.enum(['true', 'false']).optional().describe('true: settle, roll back, and return the outcome.'),
});

const metadataFilter = z
  .string()
  .regex(
    new RegExp(`^[A-Za-z][A-Za-z0-9_.-]{0,39}(:[^${REFUSED}]{1,500})?$`, 'u'),
    'must be a key, or a key, a colon and a value as metadata can have it',
  )
  .refine(isPlain, 'must be well-formed Unicode')
  .transform((filter): MetadataFilter => {
    const colon = filter.indexOf(':');
    return colon === -1
      ? { key: filter, value: null }
      : { key: filter.slice(0, colon), value: filter.slice(colon + 1) };
  })
  .optional();

/** Part of the description of filters without an index. */
const NEEDS_ANOTHER_FILTER =
  'Refused with filter_too_wide, except together with account, since, request_id, group_id, parent_id, status=pending or metadata=key:value.';

export const listAccountsSchema = z.strictObject({
  name: z
    .string()
    .max(200)
    .optional()
    .describe(
      'The beginnings of words of the name, in any order; case and accents do not matter. Text without a letter or digit finds none.',
    ),
  status: z.enum(ACCOUNT_STATUSES).optional(),
  currency: currency.optional(),
  metadata: metadataFilter.describe('key:value; a key alone is refused with filter_too_wide.'),
  order: alphabetical,
  limit,
  after,
});

export const readAccountSchema = z.strictObject({
  currency: currency.optional().describe(`Selects one of the accounts of ${EXTERNAL}.`),
});

export const listEntriesSchema = z.strictObject({
  currency: readAccountSchema.shape.currency,
  since: instant.optional().describe('Settled at or after.'),
  until: instant.optional().describe('Settled before.'),
  order,
  limit,
  after,
});

export const balanceSchema = z.strictObject({
  currency: readAccountSchema.shape.currency,
  at: instant.optional().describe('RFC 3339, an instant in the past; the answer is final. Now by default.'),
});

export const listTransfersSchema = z.strictObject({
  account: anyAccount.optional().describe('From or to this account, failed transfers that name it included.'),
  currency: currency.optional().describe(`Needed with ${EXTERNAL}. ${NEEDS_ANOTHER_FILTER}`),
  kind: z.enum(TRANSFER_KINDS).optional().describe(`hold, capture: ${NEEDS_ANOTHER_FILTER}`),
  status: z.enum(['pending', 'completed', 'failed']).optional(),
  failure_code: z.enum(FAILURE_CODES).optional().describe('Only failed transfers have one.'),
  amount_min: amountFilter.describe(`At least this amount. ${NEEDS_ANOTHER_FILTER}`),
  amount_max: amountFilter.describe(`At most this amount. ${NEEDS_ANOTHER_FILTER}`),
  description: text(500).optional().describe(`Exactly this text. ${NEEDS_ANOTHER_FILTER}`),
  request_id: z
    .string()
    .regex(REQUEST_ID_FORM, 'must be a letter or digit, then at most 127 of A-Z a-z 0-9 . _ : / + = @ -')
    .optional()
    .describe('Accepted under this X-Request-ID.'),
  group_id: z.uuid().optional().describe('The transfers of one request.'),
  parent_id: z.uuid().optional().describe('The captures of a hold, the reversals of a transfer.'),
  metadata: metadataFilter.describe(`key:value, or key. A key: ${NEEDS_ANOTHER_FILTER}`),
  since: instant.optional().describe('Accepted at or after.'),
  until: instant.optional().describe('Accepted before.'),
  order,
  limit,
  after,
});

export const balancesSchema = z.strictObject({ at: balanceSchema.shape.at });

export const statementSchema = z.strictObject({
  currency: readAccountSchema.shape.currency,
  format: z.enum(STATEMENT_FORMATS).optional().describe('Outranks the Accept header; json if neither is given.'),
  bom: z.enum(['true', 'false']).optional().describe('CSV only: begin with a byte order mark, for spreadsheets.'),
  decimals: z.enum(['true', 'false']).optional().describe('CSV only: amounts in major units, with a point.'),
});

export const decideApprovalSchema = z.strictObject({
  decision: z.enum(['approve', 'reject']).default('approve').describe('A key may reject its own request.'),
});

export const NO_PARAMETERS = z.strictObject({});

/** Parses a body, or with `what` query parameters. Throws invalid_request with every validation error. */
export function parseRequest<Schema extends z.ZodType>(
  schema: Schema,
  input: unknown,
  what: 'member' | 'parameter' = 'member',
): z.output<Schema> {
  const parsed = schema.safeParse(input);
  if (parsed.success) return parsed.data;
  const errors = parsed.error.issues
    .slice(0, ERRORS_MAX)
    .map((issue) =>
      issue.code === 'unrecognized_keys'
        ? unknownMembers(issue.path, issue.keys, what)
        : toValidationError(issue.path, issue.message),
    );
  // Several checks of one schema may fail with the same message.
  throw invalidRequest([...new Map(errors.map((error) => [`${error.pointer} ${error.detail}`, error])).values()]);
}
