// The transfers of the ledger with all filters of the interface, the newest first.
import type { VNode } from 'preact';
import { html } from 'htm/preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { ApiError } from '../api.ts';
import { FAILURES } from '../failures.ts';
import { type Filter, FilterForm, filtersIn, type FilterValues } from '../filters.ts';
import { type LiveRows, mergeRows } from '../live-list.ts';
import { NewTransfer } from '../new-transfer.ts';
import type { PageProps } from '../pages.ts';
import { hrefOf } from '../place.ts';
import { go } from '../router.ts';
import { useSession } from '../session.ts';
import { TransferTable } from '../transfer-table.ts';
import { Card, ErrorNote, Go, PageHead, Pager } from '../ui.ts';
import { useData } from '../use-data.ts';
import type { Page, Transfer as TransferJson } from '../wire.ts';
import { Transfer } from './transfer.ts';

const READ_MS = 1000;
const DAY_MS = 86_400_000;

const FILTERS: readonly Filter[] = [
  { name: 'account', label: 'Account', placeholder: 'number' },
  { name: 'status', label: 'State', options: ['pending', 'completed', 'failed'] },
  {
    name: 'kind',
    label: 'Kind',
    options: ['transfer', 'hold', 'capture', 'void', 'expiry', 'reversal'],
  },
  { name: 'since', label: 'Accepted since', isTime: true },
  { name: 'until', label: 'Accepted before', isTime: true },
  { name: 'currency', label: 'Currency', placeholder: 'EUR', isRare: true },
  { name: 'failure_code', label: 'Failure', options: Object.keys(FAILURES), isRare: true },
  { name: 'amount_min', label: 'Amount at least', placeholder: 'minor units', isRare: true },
  { name: 'amount_max', label: 'Amount at most', placeholder: 'minor units', isRare: true },
  { name: 'description', label: 'Description', placeholder: 'exactly this text', isRare: true },
  { name: 'metadata', label: 'Metadata', placeholder: 'key:value', isRare: true },
  { name: 'request_id', label: 'Request id', isRare: true },
  { name: 'group_id', label: 'Group id', isRare: true },
  { name: 'parent_id', label: 'Parent id', isRare: true },
];

/** The list, or the transfer that the path names. */
export function Transfers({ path, query }: PageProps): VNode {
  const [id] = path;
  return id === undefined ? html`<${TransferList} query=${query} />` : html`<${Transfer} id=${id} />`;
}

function TransferList({ query }: { query: URLSearchParams }): VNode {
  const { ledger, may } = useSession();
  const values = filtersIn(query, FILTERS);
  const after = query.get('after');
  return html`<${PageHead} title="Transfers" note=${`Ledger ${ledger}, the newest first`}>
      ${may('transfers:write') && html`<${NewTransfer} from=${values['account'] ?? ''} currency=${values['currency'] ?? ''} />`}
    <//>
    <${Card} title="Filters">
      <${FilterForm} label="Filter transfers" filters=${FILTERS} values=${values} path=${['transfers']} />
    <//>
    <${List} values=${values} after=${after} />`;
}

function List({ values, after }: { values: FilterValues; after: string | null }): VNode {
  const { api, ledger } = useSession();
  const box = useRef<HTMLDivElement>(null);
  const [live, setLive] = useState<LiveRows<TransferJson> | null>(null);
  const isFirst = after === null;
  const { value, error } = useData<Page<TransferJson>>(
    async (signal) => await api.get('/transfers', { ledger, query: { ...values, after }, signal }),
    [ledger, JSON.stringify(values), after],
    isFirst ? READ_MS : null,
  );
  useEffect(() => {
    setLive((live) => {
      if (value === null) return null;
      const options = { keyOf: ({ id }: TransferJson) => id, isReading: isRead(box.current) };
      return mergeRows(live?.rows ?? [], value.items, options);
    });
  }, [value]);
  const turn = (after: string | null): void => {
    go(hrefOf(ledger, ['transfers'], { ...values, after }));
    box.current?.scrollIntoView();
  };
  const isFiltered = Object.keys(values).length > 0;
  return html`<div ref=${box}>
    <${Card}
      title=${isFiltered ? 'Matching transfers' : 'All transfers'}
      aside=${isFirst && !error && html`<span class="note">Read again every second; rows that you read stay in place.</span>`}
    >
      ${error && html`<${Refusal} error=${error} values=${values} />`}
      ${!live && !error && html`<p class="empty" role="status">Loading …</p>`}
      <div class="waiting" role="status">
        ${
          live !== null &&
          live.waiting > 0 &&
          html`<button type="button" onClick=${() => value && setLive({ rows: value.items, waiting: 0 })}>
            Show ${live.waiting} new
          </button>`
        }
      </div>
      ${live && html`<${TransferTable} transfers=${live.rows} empty=${isFiltered ? 'There are no such transfers.' : undefined} />`}
      ${value && html`<${Pager} after=${after} next=${value.next} onGo=${turn} />`}
    <//>
  </div>`;
}

/** Whether a person is reading the list: the pointer or the focus is in it, or its head is scrolled away. */
function isRead(box: HTMLElement | null): boolean {
  if (box === null) return false;
  return box.matches(':hover, :focus-within') || box.getBoundingClientRect().top < 0;
}

/** Why there is no list, and what to do. */
function Refusal({ error, values }: { error: ApiError; values: FilterValues }): VNode {
  const sinceDays = (days: number): string => new Date(Date.now() - days * DAY_MS).toISOString();
  return html`<${ErrorNote} error=${error} /> ${
      (error.code === 'filter_too_wide' || error.code === 'query_too_slow') &&
      html`<div class="help">
        <p>These filters would read the whole history. Add an account above, or choose a time:</p>
        <p class="actions">
          ${[
            ['the last day', 1],
            ['the last week', 7],
            ['the last 30 days', 30],
          ].map(
            ([name, days]) =>
              html`<${Go}
                key=${name}
                class="button"
                to=${['transfers']}
                query=${{ ...values, since: sinceDays(Number(days)) }}
                >${name}<//
              >`,
          )}
        </p>
      </div>`
    }
    ${error.code === 'not_allowed' && html`<p class="help">The key sees some accounts only. Filter by one of them.</p>`}`;
}
