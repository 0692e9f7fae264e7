// The handler of the audit log: what was administered, and what was refused.
import { listAuditLog } from '../../../db/queries/audit-log.ts';
import { isUuid } from '../../../validation.ts';
import { invalidCursor, renderRows } from '../pages.ts';
import type { Services } from '../reads.ts';
import { defineRoute, NO_BODY, type Route } from '../route.ts';
import { auditLogSchema } from '../list-parameters.ts';
import { renderAuditLogEntry } from '../audit-log-view.ts';

export function auditLogRoutes({ scans }: Services): Route[] {
  return [
    defineRoute({
      operationId: 'listAuditLog',
      tag: 'Approvals',
      method: 'GET',
      pattern: '/audit-log',
      wholeLedger: true,
      scope: 'statements:read',
      summary: 'What was administered and what was refused, the newest first',
      query: auditLogSchema,
      body: NO_BODY,
      answers: { 200: 'AuditLogPage' },
      problems: ['query_too_slow'],
      handle: async ({ ledger, query, caller }) => {
        const { limit, after, order, refused } = query;
        if (after !== undefined && !isUuid(after)) throw invalidCursor();
        const page = {
          limit: limit + 1,
          after: after ?? null,
          newestFirst: order === 'newest',
          refused: refused === undefined ? null : refused === 'true',
        };
        const found = await scans.run(caller, async (pool) => await listAuditLog(pool, ledger, page));
        return { status: 200, ...renderRows(found, limit, renderAuditLogEntry, ({ id }) => id) };
      },
    }),
  ];
}
