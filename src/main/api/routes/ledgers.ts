// The handlers of ledgers: create, show, list.
import type { z } from 'zod';
import { recordAdministration } from '../../../db/ledger/administration.ts';
import { createLedger, type LedgerRecord, listLedgers, loadLedgerRecord } from '../../../db/ledger/ledgers.ts';
import { withTransaction } from '../../../db/connection/transaction.ts';
import { roundDown } from '../../../db/queries/instants.ts';
import { isLedgerName } from '../../../domain/ledger.ts';
import { ledgerNotFound, type LedgerRegistry } from '../ledgers.ts';
import { Problem, toValidationError, withErrors } from '../../http/problem.ts';
import type { Reads } from '../reads.ts';
import { type Answer, defineRoute, type RequestContext, NO_BODY, type Route } from '../route.ts';
import { listLedgersSchema } from '../list-parameters.ts';
import { createLedgerSchema } from '../ledger-schemas.ts';
import { NO_PARAMETERS } from '../schemas.ts';
import { notAllowed } from '../permissions.ts';
import { parseIdempotencyKey, REPLAYED } from '../submission.ts';
import { invalidCursor, renderRows } from '../pages.ts';
import { renderLedger } from '../views.ts';

type LedgerParts = {
  ledgers: LedgerRegistry;
  lookUps: Reads;
  changes: Reads;
};

export function ledgerRoutes(parts: LedgerParts): Route[] {
  return [
    defineRoute({
      operationId: 'createLedger',
      tag: 'Ledgers',
      method: 'POST',
      pattern: '/ledgers',
      scope: 'ledgers:admin',
      global: true,
      summary: 'Create a ledger',
      query: NO_PARAMETERS,
      body: createLedgerSchema,
      answers: { 201: 'Ledger' },
      problems: ['ledger_exists', 'too_many_ledgers', 'clock_is_real'],
      handle: async (context) => await create(parts, context),
    }),
    defineRoute({
      operationId: 'listLedgers',
      tag: 'Ledgers',
      method: 'GET',
      pattern: '/ledgers',
      scope: 'ledgers:admin',
      global: true,
      summary: 'Ledgers, in order of name',
      query: listLedgersSchema,
      body: NO_BODY,
      answers: { 200: 'LedgerPage' },
      problems: [],
      handle: async ({ query, caller }) =>
        await parts.lookUps.run(caller, async (pool) => {
          if (query.after !== undefined && !isLedgerName(query.after)) {
            throw invalidCursor();
          }
          const { limit, after = null, order } = query;
          const found = await listLedgers(pool, { limit: limit + 1, after, ascending: order === 'asc' });
          return { status: 200, ...renderRows(found, limit, renderLedger, ({ name }) => name) };
        }),
    }),
    defineRoute({
      operationId: 'getLedger',
      tag: 'Ledgers',
      method: 'GET',
      pattern: '/ledgers/:ledger',
      scope: 'accounts:read',
      ofOwnLedger: true,
      global: true,
      summary: 'One ledger',
      query: NO_PARAMETERS,
      body: NO_BODY,
      answers: { 200: 'Ledger' },
      problems: ['ledger_not_found'],
      handle: async ({ parameters: [name = ''], principal, caller }) => {
        if (principal.ledger !== null && principal.ledger !== name) {
          throw notAllowed(`The key belongs to the ledger ${principal.ledger}.`);
        }
        const record = isLedgerName(name)
          ? await parts.lookUps.run(caller, async (pool) => await loadLedgerRecord(pool, name))
          : undefined;
        if (!record) throw ledgerNotFound();
        return { status: 200, json: renderLedger(record) };
      },
    }),
  ];
}

async function create(
  { changes, ledgers }: LedgerParts,
  { body, headers, caller, principal }: RequestContext<unknown, z.output<typeof createLedgerSchema>>,
): Promise<Answer> {
  if (body.clock === 'real' && body.now !== undefined) {
    const problem = new Problem('clock_is_real', '`now` is the time of a test clock: send `clock: "manual"` with it.');
    throw withErrors(problem, [toValidationError(['now'], 'must be absent, unless `clock` is manual')]);
  }
  const idempotencyKey = parseIdempotencyKey(headers);
  const testClock = body.clock === 'manual' ? { start: body.now && roundDown(body.now) } : null;
  const created = await changes.run(
    caller,
    async (pool) =>
      await withTransaction(pool, async (connection) => {
        const creation = await createLedger(connection, { name: body.name, testClock, idempotencyKey });
        // Without keys there is no one to name.
        if (creation.result === 'created' && principal.id !== null) {
          const { name: subject, clock } = body;
          const act = { action: 'ledger.created', actor: principal.id, subject, details: { clock } } as const;
          await recordAdministration(connection, creation.ledger, act);
        }
        return creation;
      }),
  );
  switch (created.result) {
    case 'created':
    case 'replayed':
      ledgers.remember(created.ledger);
      return answerCreated(created.record, created.result === 'replayed' ? REPLAYED : {});
    case 'exists':
      throw new Problem('ledger_exists', 'A ledger with this name already exists.');
    case 'full':
      throw new Problem('too_many_ledgers', 'The maximum number of ledgers is reached; ledgers are never deleted.');
    case 'key_reused':
      throw new Problem('idempotency_key_reused', 'The key was used for another request; choose a new one.', {
        members: { ledger: created.name },
      });
  }
}

function answerCreated(record: LedgerRecord, headers: Readonly<Record<string, string>>): Answer {
  return { status: 201, headers: { ...headers, Location: `/ledgers/${record.name}` }, json: renderLedger(record) };
}
