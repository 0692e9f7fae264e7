// The handlers of holds: authorize, capture in one or several services, void, show.
import type { z } from 'zod';
import type { ConnectionPool } from '../../../db/connection/connect.ts';
import { type HoldRecord, listHolds, loadHold } from '../../../db/queries/holds.ts';
import type { Ledger } from '../../../domain/ledger.ts';
import { isUuid } from '../../../validation.ts';
import { Problem, refuseFlaws } from '../../http/problem.ts';
import { refusePart } from '../between-ledgers.ts';
import type { Services } from '../reads.ts';
import { type Answer, defineRoute, type RequestContext, NO_BODY, type Route } from '../route.ts';
import {
  captureHoldSchema,
  createHoldSchema,
  listHoldsSchema,
  TRANSFER_PARAMETERS,
  NO_PARAMETERS,
  voidHoldSchema,
} from '../schemas.ts';
import { filterTooWide, invalidCursor, renderRows } from '../pages.ts';
import { maySeeTransfer, refuseForeignAccount, refuseWholeLedger } from '../permissions.ts';
import { submitOne } from '../submission.ts';
import { renderHold } from '../views.ts';
import { flawsOf, toFields } from './transfers.ts';

type TransferQuery = z.output<typeof TRANSFER_PARAMETERS>;

export function holdRoutes(services: Services): Route[] {
  return [
    holdList(services),
    defineRoute({
      operationId: 'createHold',
      tag: 'Holds',
      method: 'POST',
      pattern: '/holds',
      scope: 'holds:write',
      summary: 'Reserve money for a later transfer',
      query: TRANSFER_PARAMETERS,
      needsAdmission: true,
      body: createHoldSchema,
      answers: { 200: 'Transfer', 202: 'TransferOrApproval' },
      problems: ['amount_not_positive', 'same_account'],
      handle: async (context) => await createHold(services, context),
    }),
    defineRoute({
      operationId: 'getHold',
      tag: 'Holds',
      method: 'GET',
      pattern: '/holds/:id',
      scope: 'transfers:read',
      summary: 'One hold',
      query: NO_PARAMETERS,
      body: NO_BODY,
      answers: { 200: 'Hold' },
      problems: ['hold_not_found'],
      handle: async ({ ledger, principal, parameters, caller }) => ({
        status: 200,
        json: renderHold(
          await services.lookUps.run(
            caller,
            async (pool) => await findHold(pool, { ledger, principal }, parameters[0]),
          ),
        ),
      }),
    }),
    defineRoute({
      operationId: 'captureHold',
      tag: 'Holds',
      method: 'POST',
      pattern: '/holds/:id/capture',
      scope: 'holds:write',
      summary: 'Move held money: the remaining amount or a part of it',
      query: TRANSFER_PARAMETERS,
      needsAdmission: true,
      body: captureHoldSchema,
      bodyOptional: true,
      answers: { 200: 'Transfer', 202: 'TransferOrApproval' },
      problems: ['amount_not_positive', 'hold_not_found', 'not_settled', 'between_ledgers'],
      handle: async (context) => await captureHold(services, context),
    }),
    defineRoute({
      operationId: 'voidHold',
      tag: 'Holds',
      method: 'POST',
      pattern: '/holds/:id/void',
      scope: 'holds:write',
      summary: 'Release the remaining amount of a hold',
      query: TRANSFER_PARAMETERS,
      needsAdmission: true,
      body: voidHoldSchema,
      bodyOptional: true,
      answers: { 200: 'Transfer', 202: 'TransferOrApproval' },
      problems: ['hold_not_found', 'not_settled', 'between_ledgers'],
      handle: async (context) => await voidHold(services, context),
    }),
  ];
}

function holdList(services: Services): Route {
  return defineRoute({
    operationId: 'listHolds',
    tag: 'Holds',
    method: 'GET',
    pattern: '/holds',
    scope: 'transfers:read',
    summary: 'Holds, the newest first',
    query: listHoldsSchema,
    body: NO_BODY,
    answers: { 200: 'HoldPage' },
    problems: ['filter_too_wide', 'query_too_slow'],
    handle: async ({ ledger, principal, query, caller }) => {
      // Before the queue for connections: a refusal needs none.
      refuseWideFilter(query);
      if (query.account === undefined) refuseWholeLedger(principal);
      else refuseForeignAccount(principal, query.account);
      return await services.scans.run(caller, (pool) => showHolds(pool, ledger, query));
    },
  });
}

/**
 * Refuses a list of holds in one state without an account: an index of states would cost each hold that is made and
 * ends. Pending ones are in the queue, which is bounded.
 */
function refuseWideFilter({ account, state }: z.output<typeof listHoldsSchema>): void {
  if (account !== undefined || state === undefined || state === 'pending') return;
  throw filterTooWide(['state'], `\`state=${state}\` has no index without \`account\`.`);
}

async function showHolds(
  pool: ConnectionPool,
  ledger: Ledger,
  { account, state, order, limit, after }: z.output<typeof listHoldsSchema>,
): Promise<Answer> {
  if (after !== undefined && !isUuid(after)) throw invalidCursor();
  const page = { limit: limit + 1, after: after ?? null, newestFirst: order === 'newest' };
  const holds = await listHolds(pool, ledger, { account, state }, page);
  return { status: 200, ...renderRows(holds, limit, renderHold, ({ id }) => id) };
}

async function createHold(
  services: Services,
  context: RequestContext<TransferQuery, z.output<typeof createHoldSchema>>,
): Promise<Answer> {
  const { expires_in: expiresIn, ...body } = context.body;
  refuseFlaws(flawsOf(body));
  return await submitOne(
    services,
    { ...context, fingerprinted: ['holds', context.body] },
    { ...toFields(body), kind: 'hold', expiresIn: expiresIn ?? null },
  );
}

async function captureHold(
  services: Services,
  context: RequestContext<TransferQuery, z.output<typeof captureHoldSchema>>,
): Promise<Answer> {
  const { body } = context;
  const hold = await findOpened(services, context);
  refuseFlaws(flawsOf(body));
  return await submitOne(
    services,
    { ...context, fingerprinted: ['capture', hold.id, body], amountAtMost: hold.amount },
    {
      ...partiesOf(hold),
      kind: 'capture',
      amount: body.amount === undefined ? null : BigInt(body.amount),
      finalCapture: body.final,
      description: body.description ?? null,
      metadata: body.metadata ?? null,
    },
  );
}

async function voidHold(
  services: Services,
  context: RequestContext<TransferQuery, z.output<typeof voidHoldSchema>>,
): Promise<Answer> {
  const { body } = context;
  const hold = await findOpened(services, context);
  return await submitOne(
    services,
    { ...context, fingerprinted: ['void', hold.id, body] },
    {
      ...partiesOf(hold),
      kind: 'void',
      amount: null,
      description: body.description ?? null,
      metadata: body.metadata ?? null,
    },
  );
}

function partiesOf(hold: HoldRecord) {
  return { parentId: hold.id, fromAccount: hold.fromAccount, toAccount: hold.toAccount, currency: hold.currency };
}

async function findHold(
  pool: ConnectionPool,
  { ledger, principal }: Pick<RequestContext<unknown, unknown>, 'ledger' | 'principal'>,
  id: string | undefined,
): Promise<HoldRecord> {
  const hold = id !== undefined && isUuid(id) ? await loadHold(pool, ledger, id) : undefined;
  if (!hold || !maySeeTransfer(principal, hold)) throw new Problem('hold_not_found', 'There is no hold with this id.');
  return hold;
}

/** A hold that a capture or a void may name. It may have ended since it was opened. */
async function findOpened(
  { lookUps }: Services,
  context: Pick<RequestContext<unknown, unknown>, 'ledger' | 'caller' | 'principal' | 'parameters'>,
): Promise<HoldRecord> {
  const { caller, parameters } = context;
  const hold = await lookUps.run(caller, async (pool) => await findHold(pool, context, parameters[0]));
  refusePart(hold);
  if (hold.state === 'failed') throw new Problem('hold_not_found', 'The hold was refused, so it does not exist.');
  if (hold.state !== 'pending') return hold;
  throw new Problem(
    'not_settled',
    'The hold is still pending. Try again in a moment, or create it with `Prefer: wait`.',
  );
}
