// All routes that read or change the books.
import type { LedgerRegistry } from '../ledgers.ts';
import type { Services } from '../reads.ts';
import type { Route } from '../route.ts';
import { accountEndingRoutes } from './account-endings.ts';
import { accountRoutes } from './accounts.ts';
import { approvalRoutes } from './approvals.ts';
import { auditLogRoutes } from './audit-log.ts';
import { clockRoutes } from './clock.ts';
import { eventRoutes } from './events.ts';
import { holdRoutes } from './holds.ts';
import { journalRoutes } from './journal.ts';
import { ledgerRoutes } from './ledgers.ts';
import { statementRoutes } from './statements.ts';
import { transferRoutes } from './transfers.ts';
import { webhookRoutes } from './webhooks.ts';

export function bookRoutes(parts: {
  services: Services;
  ledgers: LedgerRegistry;
  expireHolds: () => void;
  statements: Parameters<typeof statementRoutes>[0];
  events: Parameters<typeof eventRoutes>[0];
  webhooks: Parameters<typeof webhookRoutes>[0];
}): Route[] {
  const { services, ledgers, expireHolds, statements, events, webhooks } = parts;
  return [
    ...ledgerRoutes({ ...services, ledgers }),
    ...clockRoutes({ ...services, expireHolds }),
    ...accountRoutes(services),
    ...accountEndingRoutes(services),
    ...transferRoutes({ ...services, ledgers }),
    ...holdRoutes(services),
    ...approvalRoutes(services),
    ...auditLogRoutes(services),
    ...statementRoutes(statements),
    ...eventRoutes(events),
    ...journalRoutes(services),
    ...webhookRoutes(webhooks),
  ];
}
