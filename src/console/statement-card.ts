// A month of an account: its opening and closing balance and what happened in between, in the page and as files. The address
// has the month that is shown, so a link leads to a statement.
import type { VNode } from 'preact';
import { html } from 'htm/preact';
import { useState } from 'preact/hooks';
import { ApiError } from './api.ts';
import { count, money, moneyOfSum } from './format.ts';
import { hrefOf } from './place.ts';
import { go } from './router.ts';
import { useSession } from './session.ts';
import { monthsBetween, parseStatement, type Statement, type StatementEntry } from './statement.ts';
import { Badge, Card, type Column, ErrorNote, Figure, Go, Loaded, Table, Time } from './ui.ts';
import { useData } from './use-data.ts';
import type { Account, Ledger } from './wire.ts';

const FORMATS = [
  { format: 'html', name: 'Page to print' },
  { format: 'csv', name: 'CSV' },
  { format: 'json', name: 'JSON' },
] as const;
/** Some 15,000 entries; a longer statement is left to the files. */
const CHARACTERS_MAX = 4_000_000;
const ENTRIES_SHOWN = 200;
const MONTH_FORM = /^\d{4}-\d{2}$/;

export function StatementCard({ account, query }: { account: Account; query: URLSearchParams }): VNode {
  const { api, ledger } = useSession();
  // A ledger with a test clock has its own months.
  const clock = useData<Ledger>(async (signal) => await api.get('', { ledger, signal }), [ledger]);
  return html`<${Card} title="Statement">
    <${Loaded} data=${clock}
      >${({ now }: Ledger) =>
        html`<${Chosen}
          account=${account}
          months=${monthsBetween(account.created_at, now ?? new Date().toISOString())}
          query=${query}
        />`}<//
    >
  <//>`;
}

function Chosen({
  account: { account_number: number, currency },
  months,
  query,
}: {
  account: Account;
  months: readonly string[];
  query: URLSearchParams;
}): VNode {
  const { ledger } = useSession();
  const asked = query.get('statement') ?? '';
  const shown = MONTH_FORM.test(asked) ? asked : null;
  const [chosen, setChosen] = useState<string | null>(null);
  const month = chosen ?? shown ?? months[0] ?? '';
  // A link may name a month before the account, which has a statement too.
  const options = months.includes(month) ? months : [...months, month];
  const show = (event: Event): void => {
    event.preventDefault();
    setChosen(null);
    go(hrefOf(ledger, ['accounts', number], { currency, statement: month }));
  };
  const choose = (event: Event): void => {
    if (event.currentTarget instanceof HTMLSelectElement) setChosen(event.currentTarget.value);
  };
  return html`<div class="stack">
    <form class="actions" onSubmit=${show}>
      <label class="month"
        >Month (UTC)
        <select value=${month} onChange=${choose}>
          ${options.map((each) => html`<option key=${each} value=${each}>${each}</option>`)}
        </select>
      </label>
      <button type="submit">Show</button>
      <${Downloads} number=${number} currency=${currency} month=${month} />
    </form>
    ${shown !== null && html`<${Shown} key=${shown} number=${number} currency=${currency} month=${shown} />`}
  </div>`;
}

function Downloads({ number, currency, month }: { number: string; currency: string; month: string }): VNode {
  const { api, ledger } = useSession();
  const [error, setError] = useState<ApiError | null>(null);
  const [saved, setSaved] = useState<string | null>(null);
  const save = async (format: string): Promise<void> => {
    setError(null);
    setSaved(null);
    try {
      const name = `${number.replace('@', '')}-${currency}-${month}.${format}`;
      saveFile(await api.file(pathOf(number, month), { ledger, query: { currency, format } }), name);
      setSaved(name);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      setError(error);
    }
  };
  return html`${FORMATS.map(
      ({ format, name }) =>
        html`<button key=${format} type="button" class="quiet" onClick=${() => void save(format)}>
          Save as ${name}
        </button>`,
    )}
    <span role="status" class="note">${saved === null ? '' : `Saved as ${saved}.`}</span>
    ${error && html`<${ErrorNote} error=${error} />`}`;
}

function Shown({ number, currency, month }: { number: string; currency: string; month: string }): VNode {
  const { api, ledger } = useSession();
  const data = useData<Statement>(
    async (signal) => {
      const query = { currency, format: 'json' };
      const options = { ledger, query, charactersMax: CHARACTERS_MAX, signal };
      const { text, isWhole } = await api.text(pathOf(number, month), options);
      return parseStatement(text, isWhole);
    },
    [ledger, number, currency, month],
  );
  return html`<${Loaded} data=${data}
    >${(statement: Statement) => html`<${StatementView} statement=${statement} onReload=${data.reload} />`}<//
  >`;
}

function StatementView({ statement, onReload }: { statement: Statement; onReload: () => void }): VNode {
  const { month, currency, final, opening_balance: opening, totalIn, totalOut, closing } = statement;
  return html`<div class="card-head">
      <h3>${month} <${Badge} state=${final ? 'final' : 'not final'} /></h3>
      ${
        !final &&
        html`<span class="actions"
          ><span class="note">Until the month is over, entries are added to it.</span>
          <button type="button" class="quiet" onClick=${onReload}>Read again</button></span
        >`
      }
    </div>
    <dl class="figures">
      <${Figure} name="Opening balance" value=${money(opening, currency)} />
      <${Figure} name="In" value=${moneyOfSum(totalIn, currency)} />
      <${Figure} name="Out" value=${moneyOfSum(totalOut, currency)} />
      <${Figure} name="Closing balance" value=${moneyOfSum(closing, currency)} />
    </dl>
    <${Entries} statement=${statement} />`;
}

/** A line of the table: an entry, or a balance before or after all of them. */
type Line = {
  readonly name: string;
  readonly at: string;
  readonly entry: StatementEntry | null;
  readonly balance: string;
};

function Entries({ statement }: { statement: Statement }): VNode {
  const { may } = useSession();
  const [limit, setLimit] = useState(ENTRIES_SHOWN);
  const { entries, entry_count: total, currency, begins, ends, opening_balance: opening, closing } = statement;
  if (entries === null) {
    return html`<p class="warning">The month has ${count(total)} entries, too many to show here: save it as CSV.</p>`;
  }
  const lines: Line[] = [
    { name: 'Opening balance', at: begins, entry: null, balance: money(opening, currency) },
    ...entries.slice(0, limit).map((entry) => ({
      name: String(entry.entry_number),
      at: entry.settled_at,
      entry,
      balance: money(entry.balance, currency),
    })),
    ...(limit < entries.length
      ? []
      : [{ name: 'Closing balance', at: ends, entry: null, balance: moneyOfSum(closing, currency) }]),
  ];
  return html`<${Table}
      label="Entries of the statement, the oldest first"
      columns=${columnsOf(currency, may('transfers:read'))}
      rows=${lines}
      keyOf=${({ name }: Line) => name}
    />
    ${
      limit < entries.length &&
      html`<p class="pager">
        <button type="button" onClick=${() => setLimit((limit) => limit + ENTRIES_SHOWN)}>
          Show more: ${count(limit)} of ${count(entries.length)} are shown
        </button>
      </p>`
    }`;
}

function columnsOf(currency: string, mayReadTransfers: boolean): readonly Column<Line>[] {
  return [
    { name: 'Entry', isHead: true, cell: ({ name }) => name },
    { name: 'Settled', cell: ({ at }) => html`<${Time} at=${at} />` },
    {
      name: 'Transfer',
      cell: ({ entry }) => {
        if (entry === null) return '';
        const { kind, transfer_id: id } = entry;
        const name = html`${kind} <code>${id.slice(-8)}</code>`;
        return mayReadTransfers ? html`<${Go} to=${['transfers', id]}>${name}<//>` : html`<span>${name}</span>`;
      },
    },
    {
      name: 'With',
      cell: ({ entry }) =>
        entry && html`<${Go} to=${['accounts', entry.counterparty]} query=${{ currency }}>${entry.counterparty}<//>`,
    },
    {
      name: 'Description',
      cell: ({ entry }) => entry?.description && html`<bdi class="clipped">${entry.description}</bdi>`,
    },
    { name: 'Amount', numeric: true, cell: ({ entry }) => (entry === null ? '' : money(entry.amount, currency)) },
    { name: 'Balance', numeric: true, cell: ({ balance }) => balance },
  ];
}

function pathOf(number: string, month: string): string {
  return `/accounts/${encodeURIComponent(number)}/statements/${month}`;
}

function saveFile(file: Blob, name: string): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(file);
  link.download = name;
  link.click();
  // The browser has the file by then, or reads it from its own reference.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
