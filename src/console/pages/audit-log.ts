// What was administered, which the journal covers, and what was refused.
import type { VNode } from 'preact';
import { html } from 'htm/preact';
import { type Filter, FilterForm, filtersIn } from '../filters.ts';
import { count } from '../format.ts';
import type { PageProps } from '../pages.ts';
import { hrefOf } from '../place.ts';
import { go } from '../router.ts';
import { useSession } from '../session.ts';
import { Badge, Card, type Column, Go, Loaded, PageHead, Pager, Table, Time } from '../ui.ts';
import { useData } from '../use-data.ts';
import type { AuditLogEntry, Page } from '../wire.ts';

const READ_MS = 3000;
const SHOWS: Readonly<Record<string, string>> = { administration: 'false', refusals: 'true' };
const FILTERS: readonly Filter[] = [{ name: 'show', label: 'Show', options: Object.keys(SHOWS) }];

export function AuditLog({ query }: PageProps): VNode {
  const { api, ledger } = useSession();
  const values = filtersIn(query, FILTERS);
  const refused = SHOWS[values['show'] ?? ''];
  const after = query.get('after');
  const data = useData<Page<AuditLogEntry>>(
    async (signal) => await api.get('/audit-log', { ledger, query: { refused, after }, signal }),
    [ledger, refused ?? '', after],
    after === null ? READ_MS : null,
  );
  return html`<${PageHead} title="Audit log" note=${`Ledger ${ledger}: what was administered, and what was refused.`} />
    <${Card}><${FilterForm} label="Filter the log" filters=${FILTERS} values=${values} path=${['audit-log']} /><//>
    <${Card}>
      <${Loaded} data=${data}
        >${({ items, next }: Page<AuditLogEntry>) =>
          html`<${Table}
              label="Audit log"
              columns=${COLUMNS}
              rows=${items}
              keyOf=${({ id }: AuditLogEntry) => id}
              empty="Nothing was administered or refused. Without keys, most acts have no author and are not logged."
            />
            <${Pager}
              after=${after}
              next=${next}
              onGo=${(next: string | null) => go(hrefOf(ledger, ['audit-log'], { ...values, after: next }))}
            />`}<//
      >
    <//>`;
}

const COLUMNS: readonly Column<AuditLogEntry>[] = [
  {
    name: 'Act',
    isHead: true,
    cell: ({ action, count: times }) =>
      action === 'refused'
        ? html`<span><${Badge} state="refused" />${times > 1 && ` × ${count(times)}`}</span>`
        : html`<span>${action}</span>`,
  },
  { name: 'At', cell: ({ at }) => html`<${Time} at=${at} />` },
  { name: 'By', cell: ({ actor }) => (actor === null ? '–' : html`<code>${actor}</code>`) },
  { name: 'What', cell: ({ subject }) => html`<bdi>${subject ?? '–'}</bdi>` },
  { name: 'Address', cell: ({ address }) => address ?? '–' },
  { name: 'Details', cell: ({ details }) => html`<code class="clipped">${renderDetails(details)}</code>` },
  {
    name: 'Journal row',
    cell: ({ journal_number: row }) => (row === null ? '–' : html`<${Go} to=${['journal', String(row)]}>${row}<//>`),
  },
];

function renderDetails(details: Readonly<Record<string, unknown>>): string {
  const pairs = Object.entries(details).map(
    ([name, value]) => `${name}: ${typeof value === 'string' ? value : JSON.stringify(value)}`,
  );
  return pairs.join(', ') || '–';
}
