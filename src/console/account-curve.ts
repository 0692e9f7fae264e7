// The balance of one account over time, as a chart with a choice of period.
import type { VNode } from 'preact';
import { html } from 'htm/preact';
import { useMemo, useState } from 'preact/hooks';
import { Chart } from './chart.ts';
import { curveOf, type History } from './curve.ts';
import { compactMoney, count, money, time } from './format.ts';
import { useSession } from './session.ts';
import { Card, Loaded } from './ui.ts';
import { useData, useReloadOn } from './use-data.ts';
import type { Account, Entry, Ledger, Page } from './wire.ts';

const PAGE_ENTRIES = 1000;
const PAGES_MAX = 10;
const DAY_MS = 86_400_000;
/** In days; null: from the first entry on. */
const PERIODS: readonly { readonly name: string; readonly days: number | null }[] = [
  { name: 'day', days: 1 },
  { name: 'week', days: 7 },
  { name: 'month', days: 30 },
  { name: 'year', days: 365 },
  { name: 'all', days: null },
];

type Reading = History & { readonly balance: number; readonly since: string; readonly until: string };

export function AccountCurve({ account }: { account: Account }): VNode {
  const { api, ledger } = useSession();
  const { account_number: number, currency } = account;
  const [period, setPeriod] = useState('month');
  const read = async (signal: AbortSignal): Promise<Reading> => {
    const { now } = await api.get<Ledger>('', { ledger, signal });
    // A ledger with a test clock has its own time.
    const until = now ?? new Date().toISOString();
    const days = PERIODS.find(({ name }) => name === period)?.days ?? null;
    const begins = days === null ? '' : new Date(Date.parse(until) - days * DAY_MS).toISOString();
    // There was no balance before the account.
    const since = Date.parse(begins) > Date.parse(account.created_at) ? begins : account.created_at;
    const path = `/accounts/${encodeURIComponent(number)}/entries`;
    const entries: Entry[] = [];
    let after: string | null = null;
    for (let pages = 0; pages < PAGES_MAX && (pages === 0 || after !== null); pages += 1) {
      const query = { currency, since, after, limit: PAGE_ENTRIES };
      const page: Page<Entry> = await api.get(path, { ledger, query, signal });
      entries.push(...page.items);
      after = page.next;
    }
    return { entries, isWhole: after === null, balance: account.balance, since, until };
  };
  const data = useData<Reading>(read, [ledger, number, currency, period]);
  const isShort = data.value !== null && data.value.entries.length <= PAGE_ENTRIES;
  // A long curve is read again only on request: it would be ten pages for each new entry.
  useReloadOn(account.entry_count, () => isShort && data.reload());
  const choices = html`<div class="actions" role="group" aria-label="Period">
    ${PERIODS.map(
      ({ name }) =>
        html`<button
          key=${name}
          type="button"
          class="quiet"
          aria-pressed=${name === period}
          onClick=${() => setPeriod(name)}
        >
          ${name}
        </button>`,
    )}
    ${!isShort && data.value && html`<button type="button" class="quiet" onClick=${data.reload}>Read again</button>`}
  </div>`;
  return html`<${Card} title="Balance over time" aside=${choices}>
    <${Loaded} data=${data}> ${(reading: Reading) => html`<${Curve} reading=${reading} currency=${currency} />`} <//>
  <//>`;
}

function Curve({ reading, currency }: { reading: Reading; currency: string }): VNode {
  const { times, balances } = useMemo(() => curveOf(reading, reading), [reading]);
  if (times.length === 0) return html`<p class="empty">The account has no entries yet.</p>`;
  const oldest = reading.entries.at(-1);
  const shown = count(reading.entries.length);
  return html`<${Chart}
      label="Balance"
      times=${times}
      format=${(value: number) => money(Math.round(value), currency)}
      formatAxis=${(value: number) => compactMoney(value, currency)}
      series=${[{ name: 'balance', color: '--series-1', values: balances, isStep: true }]}
      height=${220}
    />
    ${
      reading.isWhole
        ? html`<p class="note">${shown} ${reading.entries.length === 1 ? 'entry' : 'entries'} in this period.</p>`
        : html`<p class="warning">
            The curve begins at ${time(oldest?.settled_at ?? null)}: only the latest ${shown} entries are read. Earlier
            ones of this period are not shown.
          </p>`
    }`;
}
