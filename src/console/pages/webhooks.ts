// The webhooks of the ledger: how far each is, and whether it fails.
import type { VNode } from 'preact';
import { html } from 'htm/preact';
import type { PageProps } from '../pages.ts';
import { hrefOf } from '../place.ts';
import { go } from '../router.ts';
import { useSession } from '../session.ts';
import { Badge, Card, type Column, Go, Loaded, PageHead, Pager, Table, Time } from '../ui.ts';
import { useData } from '../use-data.ts';
import type { Page, Webhook as WebhookJson } from '../wire.ts';
import { lagOf, readEnd, stateOf } from '../webhook-state.ts';
import { Webhook } from './webhook.ts';

const READ_MS = 3000;

/** The list, or the webhook that the path names. */
export function Webhooks({ path, query }: PageProps): VNode {
  const [id] = path;
  return id === undefined ? html`<${WebhookList} query=${query} />` : html`<${Webhook} id=${id} query=${query} />`;
}

type Shown = { readonly page: Page<WebhookJson>; readonly end: number | null };

function WebhookList({ query }: { query: URLSearchParams }): VNode {
  const { api, ledger, may } = useSession();
  const after = query.get('after');
  const mayReadEnd = may('events:read');
  const data = useData<Shown>(
    async (signal) => {
      const [page, end] = await Promise.all([
        api.get<Page<WebhookJson>>('/webhooks', { ledger, query: { limit: 50, after }, signal }),
        mayReadEnd ? readEnd(api, { ledger, signal }) : null,
      ]);
      return { page, end };
    },
    [ledger, after],
    READ_MS,
  );
  return html`<${PageHead}
      title="Webhooks"
      note=${`Ledger ${ledger}: URLs to which its events are posted, in the order of the journal.`}
    />
    <${Card}>
      <${Loaded} data=${data}
        >${({ page, end }: Shown) =>
          html`<${Table}
              label="Webhooks"
              columns=${columnsOf(end)}
              rows=${page.items}
              keyOf=${({ id }: WebhookJson) => id}
              empty="No webhook is registered. POST /webhooks makes one."
            />
            <${Pager}
              after=${after}
              next=${page.next}
              onGo=${(next: string | null) => go(hrefOf(ledger, ['webhooks'], { after: next }))}
            />`}<//
      >
    <//>`;
}

function columnsOf(end: number | null): readonly Column<WebhookJson>[] {
  return [
    { name: 'URL', isHead: true, cell: ({ id, url }) => html`<${Go} to=${['webhooks', id]}>${url}<//>` },
    { name: 'Description', cell: ({ description }) => html`<bdi class="clipped">${description ?? ''}</bdi>` },
    { name: 'State', cell: (webhook) => html`<${Badge} state=${stateOf(webhook)} />` },
    { name: 'Behind', numeric: true, cell: (webhook) => lagOf(webhook, end) },
    { name: 'Failing since', cell: ({ failing_since: at }) => html`<${Time} at=${at} />` },
    { name: 'Next attempt', cell: ({ next_attempt_at: at }) => html`<${Time} at=${at} />` },
  ];
}
