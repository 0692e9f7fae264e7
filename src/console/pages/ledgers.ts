// The ledgers of the service, or the one of the key: where their journals end, and their test clocks.
import type { VNode } from 'preact';
import { html } from 'htm/preact';
import type { Api } from '../api.ts';
import { Action, inputError, type Outcome, textOf } from '../dialog.ts';
import { count, instantOfInput } from '../format.ts';
import type { PageProps } from '../pages.ts';
import { hrefOf } from '../place.ts';
import { go } from '../router.ts';
import { useSession } from '../session.ts';
import { Badge, Card, type Column, Loaded, PageHead, Pager, Table, Time } from '../ui.ts';
import { useData } from '../use-data.ts';
import type { JournalRow, Ledger, Page } from '../wire.ts';

/** Few, because the end of each journal is read too. */
const LEDGERS_SHOWN = 20;

type Shown = Ledger & { readonly end: JournalRow | null };

export function Ledgers({ query }: PageProps): VNode {
  const { api, ledger, access, may } = useSession();
  const isAdmin = access.ledger === null && may('ledgers:admin');
  const mayRead = isAdmin || may('accounts:read');
  const mayReadEnds = may('events:read') && access.account_prefix === null;
  const after = query.get('after');
  const data = useData<Page<Shown>>(
    async (signal) => {
      const page: Page<Ledger> = isAdmin
        ? await api.get('/ledgers', { query: { limit: LEDGERS_SHOWN, after }, signal })
        : { items: mayRead ? [await api.get(`/ledgers/${encodeURIComponent(ledger)}`, { signal })] : [], next: null };
      const items = page.items.map(async (each): Promise<Shown> => ({
        ...each,
        end: mayReadEnds ? await readEnd(api, { ledger: each.name, signal }) : null,
      }));
      return { items: await Promise.all(items), next: page.next };
    },
    [ledger, after, isAdmin],
  );
  const columns = useColumns(data.reload);
  return html`<${PageHead}
      title="Ledgers"
      note="Each ledger is a set of books of its own: its accounts, its journal, its webhooks."
    >
      ${isAdmin && html`<${CreateLedger} onDone=${data.reload} />`}
    <//>
    <${Card}>
      ${
        mayRead
          ? html`<${Loaded} data=${data}
              >${({ items, next }: Page<Shown>) =>
                html`<${Table} label="Ledgers" columns=${columns} rows=${items} keyOf=${({ name }: Shown) => name} />
                  <${Pager}
                    after=${after}
                    next=${next}
                    onGo=${(next: string | null) => go(hrefOf(ledger, ['ledgers'], { after: next }))}
                  />`}<//
            >`
          : html`<p class="empty">To see ledgers, use a key with the scope accounts:read or ledgers:admin.</p>`
      }
    <//>`;
}

function useColumns(onDone: () => void): readonly Column<Shown>[] {
  const { ledger, may } = useSession();
  return [
    {
      name: 'Ledger',
      isHead: true,
      cell: ({ name }) =>
        html`<a href=${hrefOf(name, [])} aria-current=${name === ledger ? 'true' : undefined}>${name}</a>${
            name === ledger && html`${' '}<span class="note whole">shown now</span>`
          }`,
    },
    { name: 'Clock', cell: ({ clock }) => html`<${Badge} state=${clock} />` },
    {
      name: 'Time of the clock',
      cell: ({ clock, now }) => (clock === 'manual' ? html`<${Time} at=${now} />` : 'the real time'),
    },
    {
      name: 'Journal',
      numeric: true,
      cell: ({ name, end }) =>
        end === null ? '–' : html`<a href=${hrefOf(name, ['journal'])}>${count(end.number)} rows</a>`,
    },
    { name: 'Last settled', cell: ({ end }) => (end === null ? '–' : html`<${Time} at=${end.settled_at} />`) },
    { name: 'Created', cell: ({ created_at: at }) => html`<${Time} at=${at} />` },
    {
      name: 'Actions',
      cell: (each) =>
        may('ledgers:admin') && each.clock === 'manual'
          ? html`<${AdvanceClock} ledger=${each} onDone=${onDone} />`
          : '',
    },
  ];
}

/** The last row of a ledger's journal; null: it has none. */
async function readEnd(
  api: Api,
  { ledger, signal }: { ledger: string; signal: AbortSignal },
): Promise<JournalRow | null> {
  const { items } = await api.get<Page<JournalRow>>('/journal', { ledger, query: { limit: 1 }, signal });
  return items[0] ?? null;
}

function CreateLedger({ onDone }: { onDone: () => void }): VNode {
  const { api } = useSession();
  const run = async (form: FormData, idempotencyKey: string): Promise<Outcome> => {
    const body = { name: textOf(form, 'name'), clock: form.has('test-clock') ? 'manual' : 'real' };
    const created = await api.send<Ledger>('POST', '/ledgers', { body, idempotencyKey });
    return { isGood: true, text: `The ledger ${created.name} exists.` };
  };
  return html`<${Action} label="Create a ledger" title="Create a ledger?" run=${run} onDone=${onDone}>
    <p>Ledgers are never deleted.</p>
    <label>
      Name
      <input
        name="name"
        required
        maxlength="63"
        pattern="[a-z0-9][a-z0-9_\\-]*"
        title="a-z, 0-9, _ and -; the first a letter or digit"
        autocomplete="off"
      />
    </label>
    <label class="check"><input type="checkbox" name="test-clock" /> With a test clock, for tests only</label>
  <//>`;
}

function AdvanceClock({ ledger, onDone }: { ledger: Ledger; onDone: () => void }): VNode {
  const { api } = useSession();
  const run = async (form: FormData, idempotencyKey: string): Promise<Outcome> => {
    const now = instantOfInput(textOf(form, 'now'));
    if (now === null) throw inputError('Choose the new time of the clock.');
    const changed = await api.send<Ledger>('POST', '/clock', { ledger: ledger.name, body: { now }, idempotencyKey });
    return { isGood: true, text: `The clock shows ${changed.now}. Holds that were due have expired.` };
  };
  return html`<${Action}
    label="Advance the clock"
    title=${`Advance the clock of ${ledger.name}?`}
    run=${run}
    onDone=${onDone}
  >
    <p>It shows ${ledger.now}. It cannot be set back.</p>
    <label>New time, in your time zone <input name="now" type="datetime-local" step="1" required /></label>
  <//>`;
}
