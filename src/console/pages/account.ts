// One account: its state, its balance over time, its entries, holds and statements.
import type { VNode } from 'preact';
import { html } from 'htm/preact';
import { useRef, useState } from 'preact/hooks';
import { AccountCurve } from '../account-curve.ts';
import { Action, type Outcome } from '../dialog.ts';
import { money } from '../format.ts';
import { HoldActions } from '../hold-actions.ts';
import { MetadataList } from '../metadata.ts';
import { hrefOf } from '../place.ts';
import { go } from '../router.ts';
import { useSession } from '../session.ts';
import { StatementCard } from '../statement-card.ts';
import { Badge, Card, type Column, Facts, Go, Loaded, PageHead, Pager, Table, Time } from '../ui.ts';
import { type Data, useData, useReloadOn } from '../use-data.ts';
import type { Account as AccountJson, Entry, Hold, Page } from '../wire.ts';

const EXTERNAL = '@external';
const READ_MS = 2000;
const HOLDS_MAX = 100;

export function Account({ number, query }: { number: string; query: URLSearchParams }): VNode {
  const { api, ledger } = useSession();
  const currency = query.get('currency');
  const mustChoose = number === EXTERNAL && currency === null;
  const data = useData<AccountJson | null>(
    async (signal) => (mustChoose ? null : await api.get(pathOf(number), { ledger, query: { currency }, signal })),
    [ledger, number, currency],
    READ_MS,
  );
  if (mustChoose) return html`<${CurrencyChoice} />`;
  return html`<${Loaded} data=${data}>
    ${(account: AccountJson | null) => account && html`<${Shown} account=${account} data=${data} query=${query} />`}
  <//>`;
}

function pathOf(number: string): string {
  return `/accounts/${encodeURIComponent(number)}`;
}

/** @external has one account per currency. */
function CurrencyChoice(): VNode {
  const { api, ledger } = useSession();
  const data = useData<AccountJson[]>(
    async (signal) => {
      // The cursor of a list of accounts is the number and the currency: this one is before all of @external.
      const query = { after: `${EXTERNAL}:AAA`, limit: 500 };
      const { items } = await api.get<Page<AccountJson>>('/accounts', { ledger, query, signal });
      return items.filter(({ account_number: number }) => number === EXTERNAL);
    },
    [ledger],
  );
  const columns: readonly Column<AccountJson>[] = [
    {
      name: 'Currency',
      isHead: true,
      cell: ({ currency }) => html`<${Go} to=${['accounts', EXTERNAL]} query=${{ currency }}>${currency}<//>`,
    },
    { name: 'Balance', numeric: true, cell: ({ balance, currency }) => money(balance, currency) },
  ];
  return html`<${PageHead}
      title=${EXTERNAL}
      note="The world outside the ledger, through which money enters and leaves. It has one account per currency."
    />
    <${Card}>
      <${Loaded} data=${data}>
        ${(accounts: AccountJson[]) =>
          html`<${Table}
            label="Currencies of @external"
            columns=${columns}
            rows=${accounts}
            keyOf=${({ currency }: AccountJson) => currency}
            empty="No money has entered the ledger yet."
          />`}
      <//>
    <//>`;
}

/** An account's state: what it may do, and whether its personal data was erased. */
export function AccountBadges({ account }: { account: AccountJson }): VNode {
  return html`<span class="badges"
    ><${Badge} state=${account.status} /> ${account.personal_data_erased && html`<${Badge} state="erased" />`}</span
  >`;
}

function Shown({
  account,
  data,
  query,
}: {
  account: AccountJson;
  data: Data<AccountJson | null>;
  query: URLSearchParams;
}): VNode {
  const { may } = useSession();
  const { account_number: number, currency, name, balance, held, available } = account;
  const isExternal = number === EXTERNAL;
  return html`<${PageHead} title=${number} note=${isExternal ? 'The world outside the ledger' : (name ?? undefined)}>
      <${AccountBadges} account=${account} />
      ${may('transfers:read') && html`<${Go} class="button" to=${['transfers']} query=${{ account: number, currency }}>Its transfers<//>`}
      ${!isExternal && html`<${StatusAction} account=${account} onDone=${data.reload} />`}
      ${isExternal && html`<${Go} to=${['accounts', EXTERNAL]}>Other currencies<//>`}
    <//>
    <dl class="figures">
      ${[
        ['Balance', money(balance, currency)],
        ['Held', money(held, currency)],
        ['Available', available === null ? 'no limit' : money(available, currency)],
      ].map(
        ([name, value]) =>
          html`<div class="figure" key=${name}>
            <dt>${name}</dt>
            <dd>${value}</dd>
          </div>`,
      )}
    </dl>
    <${AccountCurve} account=${account} />
    <${About} account=${account} />
    <${Entries} account=${account} query=${query} />
    ${may('transfers:read') && !isExternal && html`<${Holds} account=${account} />`}
    ${may('statements:read') && html`<${StatementCard} account=${account} query=${query} />`}`;
}

function About({ account }: { account: AccountJson }): VNode {
  const { currency, personal_data_erased: isErased } = account;
  const personal = isErased
    ? [['Personal data', 'erased']]
    : [
        ['Name', html`<bdi>${account.name ?? '–'}</bdi>`],
        ['Email', account.email],
        ['Phone', account.phone],
        ['Date of birth', account.date_of_birth],
      ];
  const facts = [
    ...personal,
    ['Overdraft limit', money(account.overdraft_limit, currency)],
    ['Entries', String(account.entry_count)],
    ['Opened', html`<${Time} at=${account.created_at} />`],
  ];
  return html`<${Card} title="About">
    <div class="stack">
      <${Facts} facts=${facts} />
      <${MetadataList} metadata=${account.metadata} />
    </div>
  <//>`;
}

/** Freezes an account, or lets it send and receive again, unless it was changed meanwhile. */
function StatusAction({ account, onDone }: { account: AccountJson; onDone: () => void }): VNode | null {
  const { api, ledger, may } = useSession();
  if (!may('accounts:admin') || !may('accounts:write')) return null;
  const isFrozen = account.status !== 'open';
  const status = isFrozen ? 'open' : 'frozen';
  const path = pathOf(account.account_number);
  const run = async (): Promise<Outcome> => {
    const { account: current, tag } = await api.getAccount(account.account_number, { ledger });
    if (current.status !== account.status) {
      return { isGood: false, text: `Nothing was done: meanwhile the account is ${current.status}.` };
    }
    await api.send('PATCH', path, { ledger, body: { status }, headers: { 'If-Match': tag } });
    return { isGood: true, text: `The account is ${status}.` };
  };
  return html`<${Action}
    label=${isFrozen ? 'Open' : 'Freeze'}
    title=${`${isFrozen ? 'Open' : 'Freeze'} ${account.account_number}?`}
    isDanger=${!isFrozen}
    isOffered=${account.status !== 'closed'}
    run=${run}
    onDone=${onDone}
  >
    <p>
      ${
        isFrozen
          ? 'The account may send and receive again.'
          : 'The account can neither send nor receive until it is opened again. Its open holds can still be ended.'
      }
    </p>
  <//>`;
}

function Entries({ account, query }: { account: AccountJson; query: URLSearchParams }): VNode {
  const { api, ledger, may } = useSession();
  const { account_number: number, currency } = account;
  const after = query.get('after');
  const card = useRef<HTMLDivElement>(null);
  const data = useData<Page<Entry>>(
    async (signal) => await api.get(`${pathOf(number)}/entries`, { ledger, query: { currency, after }, signal }),
    [ledger, number, currency, after],
  );
  // Pages after the first one do not change.
  useReloadOn(account.entry_count, () => after === null && data.reload());
  const turn = (after: string | null): void => {
    go(hrefOf(ledger, ['accounts', number], { currency, after, statement: query.get('statement') }));
    card.current?.scrollIntoView();
  };
  const columns: readonly Column<Entry>[] = [
    { name: 'Entry', isHead: true, cell: ({ entry_number: entry }) => String(entry) },
    { name: 'Settled', cell: ({ settled_at: at }) => html`<${Time} at=${at} />` },
    {
      name: 'Transfer',
      cell: ({ transfer_id: id }) =>
        may('transfers:read') ? html`<${Go} to=${['transfers', id]}><code>${id}</code><//>` : html`<code>${id}</code>`,
    },
    {
      name: 'Journal row',
      cell: ({ journal_number: row }) =>
        may('events:read') ? html`<${Go} to=${['journal', String(row)]}>${row}<//>` : String(row),
    },
    { name: 'Amount', numeric: true, cell: ({ amount }) => money(amount, currency) },
    { name: 'Balance after', numeric: true, cell: ({ balance }) => money(balance, currency) },
  ];
  return html`<div ref=${card}>
    <${Card} title="Entries">
      <${Loaded} data=${data}>
        ${({ items, next }: Page<Entry>) =>
          html`<${Table}
              label="Entries, the newest first"
              columns=${columns}
              rows=${items}
              keyOf=${({ entry_number: entry }: Entry) => entry}
              empty="The account has no entries yet."
            />
            <${Pager} after=${after} next=${next} onGo=${turn} />`}
      <//>
    <//>
  </div>`;
}

function Holds({ account }: { account: AccountJson }): VNode {
  const { api, ledger, may } = useSession();
  const { account_number: number, currency, held } = account;
  const [after, setAfter] = useState<string | null>(null);
  const data = useData<Page<Hold>>(
    async (signal) => await api.get('/holds', { ledger, query: { account: number, after, limit: HOLDS_MAX }, signal }),
    [ledger, number, after],
  );
  useReloadOn(held, data.reload);
  const columns: readonly Column<Hold>[] = [
    {
      name: 'Hold',
      isHead: true,
      cell: ({ id }) => html`<${Go} to=${['transfers', id]}><code>${id.slice(-8)}</code><//>`,
    },
    { name: 'State', cell: ({ state }) => html`<${Badge} state=${state} />` },
    {
      name: 'For',
      cell: ({ to_account: to, currency }) => html`<${Go} to=${['accounts', to]} query=${{ currency }}>${to}<//>`,
    },
    { name: 'Amount', numeric: true, cell: ({ amount, currency }) => money(amount, currency) },
    { name: 'Captured', numeric: true, cell: ({ captured, currency }) => money(captured, currency) },
    { name: 'Remaining', numeric: true, cell: ({ remaining, currency }) => money(remaining, currency) },
    { name: 'Expires', cell: ({ expires_at: at }) => (at === null ? 'never' : html`<${Time} at=${at} />`) },
    ...(may('holds:write')
      ? [{ name: 'Action', cell: (hold: Hold) => html`<${HoldActions} hold=${hold} onDone=${data.reload} />` }]
      : []),
  ];
  return html`<${Card} title="Holds">
    <${Loaded} data=${data}>
      ${({ items, next }: Page<Hold>) =>
        html`<${Table}
            label="Holds, the newest first"
            columns=${columns}
            rows=${items.filter((hold) => hold.currency === null || hold.currency === currency)}
            keyOf=${({ id }: Hold) => id}
            empty="No money of this account is or was held."
          />
          <${Pager} after=${after} next=${next} onGo=${setAfter} />`}
    <//>
  <//>`;
}
