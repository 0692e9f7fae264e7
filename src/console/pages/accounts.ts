// The accounts of the ledger, and the trial balance of them all.
import type { VNode } from 'preact';
import { html } from 'htm/preact';
import { useRef } from 'preact/hooks';
import { type Filter, FilterForm, filtersIn } from '../filters.ts';
import { count, money, moneyOfSum } from '../format.ts';
import type { PageProps } from '../pages.ts';
import { hrefOf } from '../place.ts';
import { go } from '../router.ts';
import { useSession } from '../session.ts';
import { parseTrialBalance, type Totals } from '../trial-balance.ts';
import { Badge, Card, type Column, Go, Loaded, PageHead, Pager, Table, Time } from '../ui.ts';
import { useData } from '../use-data.ts';
import type { Account as AccountJson, Page } from '../wire.ts';
import { Account, AccountBadges } from './account.ts';

const FILTERS: readonly Filter[] = [
  { name: 'name', label: 'Name', placeholder: 'beginnings of words' },
  { name: 'status', label: 'Status', options: ['open', 'receive_only', 'frozen', 'closed'] },
  { name: 'currency', label: 'Currency', placeholder: 'EUR' },
  { name: 'metadata', label: 'Metadata', placeholder: 'key:value' },
];

/** The list, or the account that the path names. */
export function Accounts({ path, query }: PageProps): VNode {
  const [number] = path;
  return number === undefined
    ? html`<${AccountList} query=${query} />`
    : html`<${Account} number=${number} query=${query} />`;
}

function AccountList({ query }: { query: URLSearchParams }): VNode {
  const { ledger, access, may } = useSession();
  // The totals are of all accounts, which a key for some of them may not see.
  const seesTotals = may('statements:read') && access.account_prefix === null;
  return html`<${PageHead} title="Accounts" note=${`Ledger ${ledger}`}><${NumberSearch} /><//>
    ${seesTotals && html`<${TrialBalance} />`} <${List} query=${query} />`;
}

/** Goes straight to an account, without the list. */
function NumberSearch(): VNode {
  const { ledger } = useSession();
  const input = useRef<HTMLInputElement>(null);
  const submit = (event: Event): void => {
    event.preventDefault();
    const number = input.current?.value.trim() ?? '';
    if (number !== '') go(hrefOf(ledger, ['accounts', number]));
  };
  return html`<form class="actions" role="search" aria-label="Account by number" onSubmit=${submit}>
    <input
      class="number-search"
      ref=${input}
      aria-label="Account number"
      placeholder="Account number"
      autocomplete="off"
      spellcheck=${false}
    />
    <button type="submit">Open</button>
  </form>`;
}

const TOTALS: readonly Column<Totals>[] = [
  { name: 'Currency', isHead: true, cell: ({ currency }) => currency },
  { name: 'Accounts', numeric: true, cell: ({ accounts }) => count(accounts) },
  { name: 'Above zero', numeric: true, cell: ({ positive, currency }) => moneyOfSum(positive, currency) },
  { name: 'Below zero', numeric: true, cell: ({ negative, currency }) => moneyOfSum(negative, currency) },
  {
    name: 'Sum',
    numeric: true,
    cell: ({ sum, currency }) =>
      html`<span>${moneyOfSum(sum, currency)} <${Badge} state=${sum === 0n ? 'balanced' : 'not balanced'} /></span>`,
  },
];

function TrialBalance(): VNode {
  const { api, ledger } = useSession();
  const data = useData<Totals[]>(
    async () => parseTrialBalance(await (await api.file('/balances', { ledger })).text()),
    [ledger],
  );
  return html`<${Card}
    title="Trial balance"
    aside=${html`<button type="button" class="quiet" onClick=${data.reload}>Read again</button>`}
  >
    <${Loaded} data=${data}>
      ${(totals: Totals[]) =>
        html`${
            totals.length > 0 &&
            html`<p class=${totals.every(({ sum }) => sum === 0n) ? 'note' : 'error'}>
              ${totals.every(({ sum }) => sum === 0n) ? 'All balances together are zero in every currency: no money was made or lost.' : 'The balances do not sum to zero. Run gopherpay audit.'}
            </p>`
          }
          <${Table}
            label="Totals"
            columns=${TOTALS}
            rows=${totals}
            keyOf=${({ currency }: Totals) => currency}
            empty="No account has entries yet."
          />`}
    <//>
  <//>`;
}

const COLUMNS: readonly Column<AccountJson>[] = [
  {
    name: 'Account',
    isHead: true,
    cell: ({ account_number: number, currency }) =>
      html`<${Go} to=${['accounts', number]} query=${{ currency }}>${number}<//>`,
  },
  { name: 'Name', cell: ({ name }) => html`<bdi class="clipped" title=${name}>${name ?? '–'}</bdi>` },
  { name: 'Status', cell: (account) => html`<${AccountBadges} account=${account} />` },
  { name: 'Balance', numeric: true, cell: ({ balance, currency }) => money(balance, currency) },
  { name: 'Held', numeric: true, cell: ({ held, currency }) => (held === 0 ? '–' : money(held, currency)) },
  {
    name: 'Available',
    numeric: true,
    cell: ({ available, currency }) => (available === null ? 'no limit' : money(available, currency)),
  },
  { name: 'Opened', cell: ({ created_at: at }) => html`<${Time} at=${at} />` },
];

function List({ query }: { query: URLSearchParams }): VNode {
  const { api, ledger } = useSession();
  const values = filtersIn(query, FILTERS);
  const after = query.get('after');
  const data = useData<Page<AccountJson>>(
    async (signal) => await api.get('/accounts', { ledger, query: { ...values, after }, signal }),
    [ledger, JSON.stringify(values), after],
  );
  const turn = (after: string | null): void => {
    go(hrefOf(ledger, ['accounts'], { ...values, after }));
    scrollTo(0, 0);
  };
  return html`<${Card} title=${Object.keys(values).length > 0 ? 'Matching accounts' : 'All accounts'}>
    <div class="stack">
      <${FilterForm} label="Filter accounts" filters=${FILTERS} values=${values} path=${['accounts']} />
      <${Loaded} data=${data}>
        ${({ items, next }: Page<AccountJson>) =>
          html`<${Table}
              label="Accounts"
              columns=${COLUMNS}
              rows=${items}
              keyOf=${({ account_number: number, currency }: AccountJson) => `${number}:${currency}`}
              empty=${Object.keys(values).length > 0 ? 'No account matches the filters.' : 'There are no accounts yet.'}
            />
            <${Pager} after=${after} next=${next} onGo=${turn} />`}
      <//>
    </div>
  <//>`;
}
