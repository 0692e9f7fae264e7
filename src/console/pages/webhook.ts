// One webhook: its state, what was delivered to it, and what a key that may can do about it.
import type { VNode } from 'preact';
import { html } from 'htm/preact';
import { useState } from 'preact/hooks';
import { Copy } from '../copy.ts';
import { Action, type Outcome } from '../dialog.ts';
import { hrefOf } from '../place.ts';
import { go } from '../router.ts';
import { useSession } from '../session.ts';
import { Badge, Card, type Column, Facts, Go, Loaded, PageHead, Pager, Table, Time } from '../ui.ts';
import { useData } from '../use-data.ts';
import type { Delivery, Page, Webhook as WebhookJson } from '../wire.ts';
import { lagOf, readEnd, stateOf } from '../webhook-state.ts';

const READ_MS = 2000;

const ERRORS: Readonly<Record<NonNullable<Delivery['error']>, string>> = {
  status: 'the answer was no success',
  timeout: 'no answer in time',
  connection: 'no connection',
  too_large: 'the answer was too large',
  refused: 'the address is not allowed',
};

type Shown = { readonly webhook: WebhookJson; readonly end: number | null };

export function Webhook({ id, query }: { id: string; query: URLSearchParams }): VNode {
  const { api, ledger, may } = useSession();
  const path = `/webhooks/${encodeURIComponent(id)}`;
  const data = useData<Shown>(
    async (signal) => {
      const [webhook, end] = await Promise.all([
        api.get<WebhookJson>(path, { ledger, signal }),
        may('events:read') ? readEnd(api, { ledger, signal }) : null,
      ]);
      return { webhook, end };
    },
    [ledger, id],
    READ_MS,
  );
  return html`<${PageHead} title="Webhook" note=${data.value?.webhook.url ?? ''}>
      <${Go} to=${['webhooks']}>All webhooks<//>
    <//>
    <${Loaded} data=${data}
      >${(shown: Shown) => html`<${State} shown=${shown} path=${path} onChange=${data.reload} />`}<//
    >
    <${Deliveries} path=${path} id=${id} query=${query} isEnabled=${data.value?.webhook.status === 'enabled'} />`;
}

function State({
  shown: { webhook, end },
  path,
  onChange,
}: {
  shown: Shown;
  path: string;
  onChange: () => void;
}): VNode {
  const { may } = useSession();
  const { types, account, kind } = webhook;
  return html`<${Card}
    title="State"
    aside=${may('webhooks:write') && html`<${Changes} webhook=${webhook} path=${path} onChange=${onChange} />`}
  >
    <${Facts}
      facts=${[
        ['State', html`<${Badge} state=${stateOf(webhook)} />`],
        ['Description', html`<bdi>${webhook.description ?? '–'}</bdi>`],
        ['Behind the journal', lagOf(webhook, end)],
        [
          'Done up to',
          html`<${Go} to=${['journal', String(webhook.journal_number)]}>row ${webhook.journal_number}<//>`,
        ],
        ['Failing since', html`<${Time} at=${webhook.failing_since} />`],
        ['Next attempt', html`<${Time} at=${webhook.next_attempt_at} />`],
        ['Disabled at', html`<${Time} at=${webhook.disabled_at} />`],
        ['Events', types === null ? 'all types' : types.join(', ')],
        ['Account', account ?? 'all'],
        ['Kind of transfer', kind ?? 'all'],
        ['Previous secret signs until', html`<${Time} at=${webhook.previous_secret_until} />`],
        ['Created', html`<${Time} at=${webhook.created_at} />`],
        ['Id', html`<code>${webhook.id}</code>${' '}<${Copy} text=${webhook.id} name="the id" />`],
      ]}
    />
  <//>`;
}

function Changes({ webhook, path, onChange }: { webhook: WebhookJson; path: string; onChange: () => void }): VNode {
  const { api, ledger } = useSession();
  const isEnabled = webhook.status === 'enabled';
  // An open dialog keeps what it was opened with; the new secret is shown below it.
  const [secret, setSecret] = useState<string | null>(null);
  const setStatus = async (status: 'enabled' | 'disabled'): Promise<Outcome> => {
    const changed = await api.send<WebhookJson>('PATCH', path, { ledger, body: { status } });
    return { isGood: true, text: `The webhook is ${changed.status}.` };
  };
  const rotate = async (_form: FormData, idempotencyKey: string): Promise<Outcome> => {
    const rotated = await api.send<WebhookJson>('POST', `${path}/rotate-secret`, { ledger, body: {}, idempotencyKey });
    setSecret(rotated.secret ?? null);
    return { isGood: true, text: 'The new secret signs from now on. Close this, and copy it: it is shown once.' };
  };
  return html`<span class="actions">
    ${secret !== null && html`<span>New secret: <code>${secret}</code>${' '}<${Copy} text=${secret} name="the secret" /></span>`}
    <${Action}
      label="Enable"
      title="Enable the webhook?"
      isOffered=${!isEnabled}
      run=${async () => await setStatus('enabled')}
      onDone=${onChange}
    >
      <p>It continues where it stopped, and gets every event since.</p>
    <//>
    <${Action}
      label="Pause"
      title="Pause the webhook?"
      isDanger
      isOffered=${isEnabled}
      run=${async () => await setStatus('disabled')}
      onDone=${onChange}
    >
      <p>Nothing more is sent until it is enabled again. No event is lost.</p>
    <//>
    <${Action} label="Rotate the secret" title="Rotate the secret?" isDanger run=${rotate} onDone=${onChange}>
      <p>A new secret is made, and shown once. For a day messages are signed with the old one too.</p>
    <//>
  </span>`;
}

function Deliveries({
  path,
  id,
  query,
  isEnabled,
}: {
  path: string;
  id: string;
  query: URLSearchParams;
  isEnabled: boolean;
}): VNode {
  const { api, ledger } = useSession();
  const after = query.get('after');
  const [onlyFailed, setOnlyFailed] = useState(false);
  const data = useData<Page<Delivery>>(
    async (signal) => await api.get(`${path}/deliveries`, { ledger, query: { after }, signal }),
    [ledger, id, after],
    after === null ? READ_MS : null,
  );
  const columns = useColumns(path, isEnabled, data.reload);
  return html`<${Card}
    title="Deliveries"
    aside=${html`<button
      type="button"
      class="quiet"
      aria-pressed=${onlyFailed}
      onClick=${() => setOnlyFailed((only) => !only)}
    >
      Only failed ones of this page
    </button>`}
  >
    <${Loaded} data=${data}
      >${({ items, next }: Page<Delivery>) =>
        html`<${Table}
            label="Deliveries, the newest first"
            columns=${columns}
            rows=${items.filter(({ error }) => !onlyFailed || error !== null)}
            keyOf=${({ number }: Delivery) => number}
            empty=${onlyFailed ? 'None of these failed.' : 'Nothing was sent yet: the next event makes the first delivery.'}
          />
          <${Pager}
            after=${after}
            next=${next}
            onGo=${(next: string | null) => go(hrefOf(ledger, ['webhooks', id], { after: next }))}
          />`}<//
    >
  <//>`;
}

function useColumns(path: string, isEnabled: boolean, onDone: () => void): readonly Column<Delivery>[] {
  const { api, ledger, may } = useSession();
  const redeliver = async ({ number }: Delivery, idempotencyKey: string): Promise<Outcome> => {
    await api.send<Delivery>('POST', `${path}/deliveries/${number}/redeliver`, { ledger, idempotencyKey });
    return { isGood: true, text: 'It is sent once more, beside the line of the webhook.' };
  };
  return [
    { name: 'Delivery', isHead: true, cell: ({ number, type }) => html`<span>${number} ${type}</span>` },
    { name: 'State', cell: ({ state, error }) => html`<${Badge} state=${error === null ? state : 'failed'} />` },
    { name: 'Answer', cell: describeAnswer },
    { name: 'Attempts', numeric: true, cell: ({ attempts }) => attempts },
    { name: 'Last attempt', cell: ({ attempted_at: at }) => html`<${Time} at=${at} />` },
    {
      name: 'Journal row',
      cell: ({ journal_number: row }) => html`<${Go} to=${['journal', String(row)]}>${row}<//>`,
    },
    {
      name: 'Actions',
      cell: (delivery) =>
        may('webhooks:write') &&
        html`<${Action}
          label="Send again"
          title=${`Send delivery ${delivery.number} again?`}
          isOffered=${isEnabled}
          run=${async (_form: FormData, key: string) => await redeliver(delivery, key)}
          onDone=${onDone}
        >
          <p>The receiver gets the event ${delivery.event_id} once more. Receivers must expect an event twice.</p>
        <//>`,
    },
  ];
}

function describeAnswer({ answer_status: status, error }: Delivery): string {
  if (error === null) return status === null ? '–' : String(status);
  return status === null ? ERRORS[error] : `${status}: ${ERRORS[error]}`;
}
