// The handlers for accounting: the trial balance, and an account's statement of a month.
import type { z } from 'zod';
import { loadTrialBalance } from '../../../db/queries/balances.ts';
import type { ConnectionPool } from '../../../db/connection/connect.ts';
import { closeInstant } from '../../../db/queries/instants.ts';
import { loadStatement, readStatement } from '../../../db/queries/statements.ts';
import {
  MONTH_FORM,
  renderStatement,
  STATEMENT_CONTENT_TYPES,
  type StatementFormat,
} from '../../../render/statement.ts';
import { PAGE_SECURITY_POLICY } from '../../../render/statement-page.ts';
import { chooseType } from '../../http/negotiate.ts';
import { Problem } from '../../http/problem.ts';
import type { Reads } from '../reads.ts';
import { type Answer, defineRoute, type RequestContext, NO_BODY, type Route } from '../route.ts';
import { balancesSchema, statementSchema } from '../schemas.ts';
import type { StreamSlots } from '../../http/stream.ts';
import { renderTrialBalance } from '../trial-balance-view.ts';
import { findAccount } from './accounts.ts';
import { awaitClosed } from './instants.ts';

/** The pool is for long reads only, so that they do not delay short ones. */
type StatementParts = {
  pool: ConnectionPool;
  streams: StreamSlots;
  /** For the part before the first byte. The pool has one more connection, for statements that are being streamed. */
  books: Reads;
};

export function statementRoutes(parts: StatementParts): Route[] {
  return [
    defineRoute({
      operationId: 'getTrialBalance',
      tag: 'Books',
      method: 'GET',
      pattern: '/balances',
      wholeLedger: true,
      scope: 'statements:read',
      summary: 'The trial balance: the balances of all accounts together, per currency',
      query: balancesSchema,
      body: NO_BODY,
      answers: { 200: 'TrialBalance' },
      problems: ['instant_not_closed', 'clock_is_earlier', 'archived', 'query_too_slow'],
      async handle({ ledger, query, caller }) {
        const at = query.at ?? null;
        // Outside the queue for connections, because it may wait for a second.
        if (at !== null) await awaitClosed(parts.pool, ledger, at);
        const balance = await parts.books.run(caller, async (pool) => await loadTrialBalance(pool, ledger, at));
        return { status: 200, json: renderTrialBalance(at, balance) };
      },
    }),
    defineRoute({
      operationId: 'getStatement',
      tag: 'Books',
      method: 'GET',
      pattern: '/accounts/:account_number/statements/:month',
      scope: 'statements:read',
      summary: "An account's statement of a month (UTC), as JSON, CSV or a page that prints well",
      query: statementSchema,
      body: NO_BODY,
      answers: { 200: 'Statement' },
      problems: ['account_not_found', 'archived', 'too_many_streams', 'query_too_slow'],
      handle: async (context) => await parts.books.run(context.caller, () => showStatement(parts, context)),
    }),
  ];
}

async function showStatement(
  { pool, streams }: StatementParts,
  { ledger, parameters, query, headers, caller }: RequestContext<z.output<typeof statementSchema>, undefined>,
): Promise<Answer> {
  const [accountNumber, month = ''] = parameters;
  if (!MONTH_FORM.test(month))
    throw new Problem('invalid_request', 'The month must be written as YYYY-MM, such as 2026-11.');
  const account = await findAccount({ pool, ledger }, accountNumber, query.currency);
  let summary = await loadStatement(pool, ledger, account, month);
  // While the journal is idle, a month becomes final only when it is closed explicitly.
  if (summary && !summary.final && (await closeInstant(pool, ledger, summary.ends)).closed) {
    summary = await loadStatement(pool, ledger, account, month);
  }
  if (!summary) throw new Problem('invalid_request', `The month ${month} has not begun (UTC).`);
  const format = query.format ?? formatOf(headers.accept);
  const style = { byteOrderMark: query.bom === 'true', decimals: query.decimals === 'true' };
  const release = streams.take(caller);
  return {
    status: 200,
    headers: headersOf(format, `${account.accountNumber}-${account.currency}-${month}`),
    stream: {
      contentType: STATEMENT_CONTENT_TYPES[format],
      async write(writer) {
        try {
          for await (const text of renderStatement(format, summary, readStatement(pool, summary), style)) {
            await writer.send(text);
          }
        } finally {
          release();
        }
      },
    },
  };
}

function formatOf(accept: string | undefined): StatementFormat {
  switch (chooseType(accept, ['application/json', 'text/csv', 'text/html'])) {
    case 'application/json':
      return 'json';
    case 'text/csv':
      return 'csv';
    case 'text/html':
      return 'html';
  }
}

function headersOf(format: StatementFormat, name: string): Record<string, string> {
  return {
    'Cache-Control': 'no-store',
    Vary: 'Accept, Origin',
    'X-Content-Type-Options': 'nosniff',
    ...(format === 'csv' && { 'Content-Disposition': `attachment; filename="${name}.csv"` }),
    ...(format === 'html' && { 'Content-Security-Policy': PAGE_SECURITY_POLICY }),
  };
}
