// The handlers that end an account: close it, and erase its personal data.
import { closeAccount, erasePersonalData, sealAccount } from '../../../db/ledger/accounts.ts';
import { withTransaction } from '../../../db/connection/transaction.ts';
import { Problem } from '../../http/problem.ts';
import { requireUnchanged } from '../preconditions.ts';
import type { Services } from '../reads.ts';
import { type Answer, defineRoute, NO_BODY, type RequestContext, type Route } from '../route.ts';
import { NO_PARAMETERS } from '../schemas.ts';
import { findAccount, findOwn } from './accounts.ts';

export function accountEndingRoutes(services: Services): Route[] {
  return [
    defineRoute({
      operationId: 'closeAccount',
      tag: 'Accounts',
      method: 'DELETE',
      pattern: '/accounts/:account_number',
      scope: 'accounts:admin',
      summary: 'Close an account; its history stays',
      query: NO_PARAMETERS,
      body: NO_BODY,
      answers: { 204: null },
      problems: ['account_not_found', 'account_not_empty', 'precondition_failed'],
      handle: async (context) => await endAccount(services, context),
    }),
    defineRoute({
      operationId: 'erasePersonalData',
      tag: 'Accounts',
      method: 'DELETE',
      pattern: '/accounts/:account_number/personal-data',
      scope: 'accounts:admin',
      summary: 'Erase the personal data of an account, closed or not',
      query: NO_PARAMETERS,
      body: NO_BODY,
      answers: { 204: null },
      problems: ['account_not_found', 'precondition_failed'],
      handle: async (context) => await eraseAccount(services, context),
    }),
  ];
}

async function endAccount(services: Services, context: RequestContext<unknown, unknown>): Promise<Answer> {
  const { ledger, principal, caller, headers } = context;
  const account = await findOwn(services, context);
  const closed = await services.changes.run(
    caller,
    async (pool) =>
      await withTransaction(pool, async (connection) => {
        await requireUnchanged(connection, ledger, account.accountNumber, headers);
        const done = await closeAccount(connection, ledger, account.accountNumber);
        if (done) await sealAccount(connection, ledger, account, { orderedBy: principal.id, approvedBy: null });
        return done;
      }),
  );
  if (!closed) {
    const now = await findAccount({ pool: services.engine.pool, ledger }, account.accountNumber);
    if (now.status !== 'closed') {
      throw new Problem(
        'account_not_empty',
        'Move the money to another account and end the holds before you close the account.',
      );
    }
  }
  return { status: 204 };
}

async function eraseAccount(services: Services, context: RequestContext<unknown, unknown>): Promise<Answer> {
  const { ledger, principal, caller, headers } = context;
  const account = await findOwn(services, context);
  await services.changes.run(
    caller,
    async (pool) =>
      await withTransaction(pool, async (connection) => {
        await requireUnchanged(connection, ledger, account.accountNumber, headers);
        const erased = await erasePersonalData(connection, ledger, account.accountNumber);
        if (erased) await sealAccount(connection, ledger, account, { orderedBy: principal.id, approvedBy: null });
      }),
  );
  return { status: 204 };
}
