// The pages of the console, by the first segment of their place after the ledger.
import type { ComponentType } from 'preact';
import { Accounts } from './pages/accounts.ts';
import { Approvals } from './pages/approvals.ts';
import { AuditLog } from './pages/audit-log.ts';
import { Journal } from './pages/journal.ts';
import { Ledgers } from './pages/ledgers.ts';
import { Overview } from './pages/overview.ts';
import { Transfers } from './pages/transfers.ts';
import { Webhooks } from './pages/webhooks.ts';

export type PageProps = {
  /** The segments of the place after the page's name. */
  readonly path: readonly string[];
  readonly query: URLSearchParams;
};

export type PageEntry = {
  readonly name: string;
  /** Its name in the navigation; null: it is reached from other pages only. */
  readonly title: string | null;
  /** The scope without which it shows nothing; null: none. */
  readonly scope: string | null;
  readonly component: ComponentType<PageProps>;
};

export const PAGES: readonly PageEntry[] = [
  { name: 'overview', title: 'Overview', scope: null, component: Overview },
  { name: 'accounts', title: 'Accounts', scope: 'accounts:read', component: Accounts },
  { name: 'transfers', title: 'Transfers', scope: 'transfers:read', component: Transfers },
  { name: 'journal', title: 'Journal', scope: 'events:read', component: Journal },
  { name: 'ledgers', title: 'Ledgers', scope: null, component: Ledgers },
  { name: 'webhooks', title: 'Webhooks', scope: 'webhooks:read', component: Webhooks },
  { name: 'approvals', title: 'Approvals', scope: 'transfers:read', component: Approvals },
  { name: 'audit-log', title: 'Audit log', scope: 'statements:read', component: AuditLog },
];
