// The handlers of transfers: create one or several, reverse one, show one, list them.
import { z } from 'zod';
import type { ConnectionPool } from '../../../db/connection/connect.ts';
import { listTransfers, type TransferCursor } from '../../../db/queries/transfer-list.ts';
import { isOwnedByService } from '../../../domain/between-ledgers.ts';
import type { Ledger } from '../../../domain/ledger.ts';
import type { Conditions } from '../../../domain/transfer.ts';
import { isUuid } from '../../../validation.ts';
import { type Flaw, Problem, refuseFlaws, toValidationError, withErrors } from '../../http/problem.ts';
import { createGroupSchema } from '../group-schemas.ts';
import { refuseBetweenLedgers, refusePart, strictestRule, toParties } from '../between-ledgers.ts';
import type { LedgerRegistry } from '../ledgers.ts';
import { FILTER_ADVICE, type Services } from '../reads.ts';
import { type Answer, defineRoute, type RequestContext, NO_BODY, type Route } from '../route.ts';
import {
  createTransferSchema,
  listTransfersSchema,
  TRANSFER_PARAMETERS,
  NO_PARAMETERS,
  reverseTransferSchema,
} from '../schemas.ts';
import { refuseForeignAccount, refuseWholeLedger } from '../permissions.ts';
import { flawsOfForms, resolveMembers } from '../member-amounts.ts';
import { findTransfer, submitGroup, submitOne, type TransferFields } from '../submission.ts';
import { filterTooWide, invalidCursor, renderItems, renderPage } from '../pages.ts';
import { renderTransfer } from '../views.ts';

type TransferQuery = z.output<typeof TRANSFER_PARAMETERS>;

const bigintText = z
  .string()
  .regex(/^\d{1,19}$/)
  .refine((digits) => BigInt(digits) < 2n ** 63n);
const cursorSchema = z.discriminatedUnion('stage', [
  z.strictObject({ stage: z.literal('pending'), id: z.string().refine(isUuid), head: bigintText }),
  z.strictObject({
    stage: z.literal('settled'),
    number: bigintText,
    position: z.int32().min(0),
    entry: bigintText.nullable(),
  }),
]);

type TransferServices = Services & { readonly ledgers: LedgerRegistry };

export function transferRoutes(services: TransferServices): Route[] {
  return [...submissionRoutes(services), ...readRoutes(services)];
}

function submissionRoutes(services: TransferServices): Route[] {
  return [
    defineRoute({
      operationId: 'createTransfer',
      tag: 'Transfers',
      method: 'POST',
      pattern: '/transfers',
      scope: 'transfers:write',
      summary: 'Create a transfer, or several at once',
      query: TRANSFER_PARAMETERS,
      needsAdmission: true,
      body: createTransferSchema.or(createGroupSchema),
      chooseBody: (input) =>
        typeof input === 'object' && input !== null && Object.hasOwn(input, 'transfers')
          ? createGroupSchema
          : createTransferSchema,
      answers: { 200: 'TransferOrGroup', 202: 'TransferOrGroupOrApproval' },
      problems: ['group_too_large', 'amount_not_positive', 'amount_unresolved', 'same_account', 'between_ledgers'],
      handle: async (context) => await createTransfers(services, context),
    }),
    defineRoute({
      operationId: 'reverseTransfer',
      tag: 'Transfers',
      method: 'POST',
      pattern: '/transfers/:id/reversals',
      scope: 'reversals:write',
      summary: 'Reverse a transfer, whole or in part',
      query: TRANSFER_PARAMETERS,
      needsAdmission: true,
      body: reverseTransferSchema,
      bodyOptional: true,
      answers: { 200: 'Transfer', 202: 'TransferOrApproval' },
      problems: ['amount_not_positive', 'transfer_not_found', 'not_settled', 'between_ledgers'],
      handle: async (context) => await reverseTransfer(services, context),
    }),
  ];
}

function readRoutes(services: Services): Route[] {
  return [
    defineRoute({
      operationId: 'getTransfer',
      tag: 'Transfers',
      method: 'GET',
      pattern: '/transfers/:id',
      scope: 'transfers:read',
      summary: 'One transfer',
      query: NO_PARAMETERS,
      body: NO_BODY,
      answers: { 200: 'Transfer' },
      problems: ['transfer_not_found'],
      handle: async (context) => ({
        status: 200,
        json: renderTransfer(
          await services.lookUps.run(context.caller, (pool) => findTransfer(pool, context, context.parameters[0])),
        ),
      }),
    }),
    defineRoute({
      operationId: 'listTransfers',
      tag: 'Transfers',
      method: 'GET',
      pattern: '/transfers',
      scope: 'transfers:read',
      summary: 'Transfers, the newest first: pending ones, then settled ones',
      query: listTransfersSchema,
      body: NO_BODY,
      answers: { 200: 'TransferPage' },
      problems: ['filter_too_wide', 'query_too_slow'],
      handle: async ({ ledger, principal, query, caller }) => {
        // Before the queue for connections: a refusal needs none.
        refuseWideFilter(query);
        if (query.account === undefined) refuseWholeLedger(principal);
        else refuseForeignAccount(principal, query.account);
        const isByKey = (query.request_id ?? query.group_id ?? query.parent_id) !== undefined;
        const reads = isByKey ? services.lookUps : services.scans;
        return await reads.run(caller, (pool) => showTransfers(pool, ledger, query));
      },
    }),
  ];
}

async function createTransfers(
  services: TransferServices,
  context: RequestContext<TransferQuery, z.output<typeof createTransferSchema> | z.output<typeof createGroupSchema>>,
): Promise<Answer> {
  const { body } = context;
  const submission = { ...context, fingerprinted: ['transfers', body] };
  if ('transfers' in body) {
    const flaws = body.transfers.flatMap((member, index) => flawsOf(member, ['transfers', index]));
    refuseFlaws([...flaws, ...flawsOfForms(body)]);
    const { transfers, atomic } = body;
    const pathOf = (index: number) => ['transfers', index];
    const others = await refuseBetweenLedgers(services.ledgers, context, { members: transfers, atomic, pathOf });
    const strict = { ...services, approvalAbove: strictestRule(services, others) };
    const resolved = resolveMembers(body);
    const members = resolved.map(({ member, ...amount }) => ({ ...toTerms(member.sent), ...amount }));
    const amountMembers = resolved.map(({ member }) => (member.sent.amount === undefined ? member.form : 'amount'));
    return await submitGroup(strict, { ...submission, amountMembers }, members, body.atomic);
  }
  refuseFlaws(flawsOf(body));
  const fields = toFields(body);
  if (body.to_ledger === undefined) return await submitOne(services, submission, fields);
  const single = { members: [body], atomic: false, pathOf: () => [] };
  const others = await refuseBetweenLedgers(services.ledgers, context, single);
  return await submitOne({ ...services, approvalAbove: strictestRule(services, others) }, submission, fields);
}

async function reverseTransfer(
  services: Services,
  context: RequestContext<TransferQuery, z.output<typeof reverseTransferSchema>>,
): Promise<Answer> {
  const { body } = context;
  const original = await services.lookUps.run(
    context.caller,
    async (pool) => await findTransfer(pool, context, context.parameters[0]),
  );
  refusePart(original);
  if (original.status === 'pending') {
    throw new Problem('not_settled', 'The transfer is still pending; only a completed one can be reversed.');
  }
  refuseFlaws(flawsOf(body));
  return await submitOne(
    services,
    { ...context, fingerprinted: ['reversals', original.id, body], amountAtMost: original.amount },
    {
      kind: 'reversal',
      parentId: original.id,
      fromAccount: original.toAccount,
      toAccount: original.fromAccount,
      amount: body.amount === undefined ? null : BigInt(body.amount),
      currency: original.currency,
      description: body.description ?? null,
      metadata: body.metadata ?? null,
    },
  );
}

/** The fields of a transfer between two accounts, from a body. */
export function toFields(body: Terms & { readonly amount: number }): TransferFields {
  return { ...toTerms(body), amount: BigInt(body.amount) };
}

type Terms = Omit<z.output<typeof createTransferSchema>, 'amount' | 'to_ledger'> & { to_ledger?: string | undefined };

/** The same fields without the amount. */
function toTerms(body: Terms): Omit<TransferFields, 'amount'> {
  return {
    ...toParties(body),
    currency: body.currency ?? null,
    description: body.description ?? null,
    metadata: body.metadata ?? null,
    conditions: toConditions(body.if),
  };
}

/**
 * What is wrong with a transfer, as far as that can be found without the books. `path` is where the request has it. An
 * absent amount is valid.
 */
export function flawsOf(
  body: {
    amount?: number | undefined;
    from_account?: string;
    to_account?: string;
    to_ledger?: string | undefined;
  },
  path: readonly PropertyKey[] = [],
): Flaw[] {
  const flaws: Flaw[] = [];
  if (body.amount !== undefined && body.amount < 1) {
    flaws.push({
      problem: new Problem('amount_not_positive', 'The amount must be at least 1, in minor units.'),
      error: toValidationError([...path, 'amount'], 'must be at least 1'),
    });
  }
  const isWithin = body.to_ledger === undefined;
  if (isWithin && body.from_account !== undefined && body.from_account === body.to_account) {
    flaws.push({
      problem: new Problem('same_account', 'A transfer needs two different accounts.'),
      error: toValidationError([...path, 'to_account'], 'must be another account than `from_account`'),
    });
  }
  return flaws;
}

function toConditions(conditions: z.output<typeof createTransferSchema>['if']): Conditions | null {
  if (!conditions) return null;
  const { from_entry_number: entryNumber, min_available_after: available } = conditions;
  return {
    fromEntryNumber: entryNumber === undefined ? null : BigInt(entryNumber),
    minAvailableAfter: available === undefined ? null : BigInt(available),
  };
}

/**
 * Refuses a list that may read the whole history. `kind=hold`, `kind=capture`, `currency`, `amount_min`, `amount_max`,
 * `description` and `metadata=key` have no index: such a list reads transfers in journal order and skips those that do
 * not match. If few match, or none, its page is never full. The read then ends only where another filter ends it.
 *
 * - These filters end it: `account` (at its own transfers), `since` (at an instant that the caller chooses),
 *   `request_id`, `group_id`, `parent_id` and `metadata=key:value` (an index has the matches), and `status=pending`
 *   (the queue is bounded).
 * - These do not: `until` alone (it starts at the first transfer), `status=completed` and `kind=transfer` (nearly all),
 *   `status=failed`, `failure_code` and the rare kinds (an index has every one of the history), `limit` and `after`
 *   (they count matches).
 *
 * Without a filter that has no index, each of these fills its page from an index, so such a list is never refused.
 * DB_SCAN_TIMEOUT_MS bounds the remaining cases: a busy account, a value that most transfers have, a `since` long ago,
 * two filters that few transfers match together.
 */
function refuseWideFilter(query: z.output<typeof listTransfersSchema>): void {
  const { account, currency, status, metadata, since, description, amount_min: least, amount_max: most } = query;
  const key = metadata?.value === null ? metadata.key : undefined;
  const kind = query.kind === 'hold' || query.kind === 'capture' ? query.kind : undefined;
  const unindexed = Object.entries({ kind, currency, amount_min: least, amount_max: most, description, metadata: key })
    .filter(([, value]) => value !== undefined)
    .map(([name]) => name);
  if (unindexed.length === 0) return;
  const id = query.request_id ?? query.group_id ?? query.parent_id;
  const bound = account ?? since ?? id ?? metadata?.value ?? null;
  if (bound !== null || status === 'pending') return;
  const names = unindexed.map((name) => `\`${name}\``).join(', ');
  throw filterTooWide(unindexed, `Without another filter, this may read the whole history: ${names}. ${FILTER_ADVICE}`);
}

async function showTransfers(
  pool: ConnectionPool,
  ledger: Ledger,
  query: z.output<typeof listTransfersSchema>,
): Promise<Answer> {
  const { account, currency, status, request_id: requestId, since, until, limit } = query;
  if (account !== undefined && isOwnedByService(account) && currency === undefined) {
    const detail = `${account} has one account per currency: choose one with \`currency\`.`;
    throw withErrors(new Problem('invalid_request', detail), [toValidationError(['currency'], 'is missing')]);
  }
  const { group_id: groupId, parent_id: parentId, metadata, kind, description } = query;
  const { failure_code: failureCode, amount_min: amountMin, amount_max: amountMax } = query;
  const ofValues = { kind, status, failureCode, amountMin, amountMax, description };
  const filter = { account, currency, ...ofValues, requestId, groupId, parentId, metadata, since, until };
  const after = query.after === undefined ? null : parseCursor(query.after);
  const newestFirst = query.order === 'newest';
  const load = async (count: number) => await listTransfers(pool, ledger, filter, { limit: count, after, newestFirst });
  let page = await load(limit);
  let items = renderItems(page.transfers, limit, renderTransfer);
  // Only the database knows the cursor of the end of a page, so a page that is too large is read again. Few are.
  if (items.length < page.transfers.length) {
    page = await load(items.length);
    items = page.transfers.map((transfer) => JSON.stringify(renderTransfer(transfer)));
  }
  const next = page.next && Buffer.from(JSON.stringify(page.next)).toString('base64url');
  return { status: 200, ...renderPage(items, next) };
}

function parseCursor(text: string): TransferCursor {
  try {
    return cursorSchema.parse(JSON.parse(Buffer.from(text, 'base64url').toString()));
  } catch {
    // Not a cursor: reported below.
  }
  throw invalidCursor();
}
