// The journal: its rows, and the chain of their hashes, which this browser verifies.
import type { VNode } from 'preact';
import { html } from 'htm/preact';
import { useEffect, useState } from 'preact/hooks';
import { rememberedPosition, rememberPosition } from '../checkpoint.ts';
import { count, short } from '../format.ts';
import { CAN_VERIFY, Chain, Flaws, NoCrypto, stateOf, type Verified } from '../journal-parts.ts';
import type { PageProps } from '../pages.ts';
import { hrefOf } from '../place.ts';
import { go } from '../router.ts';
import { useSession } from '../session.ts';
import { Badge, Card, type Column, ErrorNote, Go, Loaded, PageHead, Pager, Table, Time } from '../ui.ts';
import { type Data, useData } from '../use-data.ts';
import { type Progress, useVerification } from '../use-verification.ts';
import { compareWithPast, type Flaw, type Position, START, verifyRows } from '../verify.ts';
import type { JournalDetail, JournalRow, Page } from '../wire.ts';
import { JournalRowPage } from './journal-row.ts';

const ROWS_SHOWN = 25;
const BLOCKS_SHOWN = 12;
const READ_MS = 2000;

/** The list, or the row that the path names. */
export function Journal({ path, query }: PageProps): VNode {
  const [number] = path;
  return number === undefined ? html`<${JournalList} query=${query} />` : html`<${JournalRowPage} number=${number} />`;
}

function JournalList({ query }: { query: URLSearchParams }): VNode {
  const { api, ledger } = useSession();
  const after = query.get('after');
  // One row more than is shown, so that the link of the last shown row is verified too.
  const data = useData<Page<JournalRow>>(
    async (signal) => await api.get('/journal', { ledger, query: { limit: ROWS_SHOWN + 1, after }, signal }),
    [ledger, after],
    after === null ? READ_MS : null,
  );
  const read = data.value?.items ?? null;
  const verified = useVerified(read);
  const turn = (next: string | null): void => go(hrefOf(ledger, ['journal'], { after: next }));
  return html`<${PageHead}
      title="Journal"
      note=${`Ledger ${ledger}: each row has the hash of the row before, so a change of the past breaks the chain.`}
    />
    ${CAN_VERIFY ? html`<${Whole} head=${after === null ? (read?.[0]?.number ?? null) : null} />` : html`<${NoCrypto} />`}
    <${Loaded} data=${data}
      >${(page: Page<JournalRow>) => html`<${Rows} page=${page} verified=${verified} after=${after} onGo=${turn} />`}<//
    >`;
}

function Rows({
  page: { items },
  verified,
  after,
  onGo,
}: {
  page: Page<JournalRow>;
  verified: Verified | null;
  after: string | null;
  onGo: (after: string | null) => void;
}): VNode {
  const rows = items.slice(0, ROWS_SHOWN);
  const next = items.length > ROWS_SHOWN ? String(rows.at(-1)?.number) : null;
  const shown = verified?.flaws.filter(({ number }) => rows.some((row) => row.number === number)) ?? [];
  const columns: Column<JournalRow>[] = [
    {
      name: 'Row',
      isHead: true,
      cell: ({ number }) => html`<${Go} to=${['journal', String(number)]}>${number}<//>`,
    },
    { name: 'Chain', cell: ({ number }) => html`<${Badge} state=${stateOf(verified, number)} />` },
    { name: 'Settled', cell: ({ settled_at: at }) => html`<${Time} at=${at} />` },
    { name: 'Transfers', numeric: true, cell: ({ transfer_count: transfers }) => count(transfers) },
    { name: 'Changes', numeric: true, cell: ({ change_count: changes }) => count(changes) },
    { name: 'Hash', cell: ({ hash }) => html`<code title=${hash}>${short(hash, 16)}</code>` },
  ];
  return html`<${Flaws} flaws=${shown} />
    ${
      rows.length > 0 &&
      html`<${Card} title=${after === null ? 'The end of the chain' : 'The chain of these rows'}>
        <${Chain} rows=${rows.slice(0, BLOCKS_SHOWN)} verified=${verified} label="The chain, the newest row first" />
      <//>`
    }
    <${Card}
      title="Rows"
      aside=${html`<span class="note">The newest first. Shown rows are verified by themselves.</span>`}
    >
      <${Table}
        label="Rows of the journal"
        columns=${columns}
        rows=${rows}
        keyOf=${({ number }: JournalRow) => number}
        empty="The journal has no rows yet. The first transfer or account makes one."
      />
      <${Pager} after=${after} next=${next} onGo=${onGo} />
    <//>`;
}

/** What is known of the shown rows. Those that arrive now are not verified until their hashes are computed. */
function useVerified(rows: readonly JournalRow[] | null): Verified | null {
  const [verified, setVerified] = useState<Verified | null>(null);
  useEffect(() => {
    if (rows === null || !CAN_VERIFY) return;
    const verify = async (): Promise<void> => {
      const flaws = await verifyRows(rows.toReversed(), null);
      setVerified({ numbers: new Set(rows.map(({ number }) => number)), flaws });
    };
    verify().catch(() => setVerified(null));
  }, [rows]);
  return verified;
}

/** The verification of all rows, and the checkpoint that this browser keeps. */
function Whole({ head }: { head: number | null }): VNode {
  const { api, ledger } = useSession();
  const [position, setPosition] = useState(() => rememberedPosition(ledger));
  const remember = (now: Position | null): void => {
    rememberPosition(ledger, now);
    setPosition(now);
  };
  const { progress, start, stop } = useVerification(remember);
  const past = useData<readonly Flaw[]>(
    async (signal) => {
      if (position === null) return [];
      const path = `/journal/${position.number}`;
      const row = await api
        .get<JournalDetail>(path, { ledger, query: { limit: 1 }, signal })
        .catch((error: unknown) => notFound(error));
      return compareWithPast(row, position);
    },
    [ledger, position?.number ?? null, position?.hash ?? null],
  );
  const isRunning = progress?.state === 'running';
  const isNew = position !== null && head !== null && head > position.number;
  return html`<${Card} title="Verification in this browser">
    <div class="stack">
      <${Past} position=${position} data=${past} onForget=${() => remember(null)} />
      ${progress && html`<${Run} progress=${progress} head=${head} />`}
      <div class="actions">
        ${
          isRunning
            ? html`<button type="button" onClick=${stop}>Stop</button>`
            : html`<button type="button" onClick=${() => start(START, position)}>Verify the whole journal</button> ${
                  isNew &&
                  past.value?.length === 0 &&
                  html`<button type="button" class="quiet" onClick=${() => start(position, null)}>
                    Verify the ${count(head - position.number)} rows since row ${position.number}
                  </button>`
                }`
        }
      </div>
    </div>
  <//>`;
}

function notFound(error: unknown): undefined {
  if (error instanceof Error && 'code' in error && error.code === 'journal_row_not_found') return undefined;
  throw error;
}

function Past({
  position,
  data,
  onForget,
}: {
  position: Position | null;
  data: Data<readonly Flaw[]>;
  onForget: () => void;
}): VNode {
  if (position === null) {
    return html`<p>
      This browser has not verified the journal yet. It remembers how far it did, and compares when you come again.
    </p>`;
  }
  const flaws = data.value ?? [];
  return html`${data.error && html`<${ErrorNote} error=${data.error} />`}
  ${
    flaws.length > 0
      ? html`<${Flaws} flaws=${flaws} />
          <p>
            <button type="button" class="quiet" onClick=${onForget}>Forget the remembered row</button>
          </p>`
      : html`<p>
          This browser verified the journal up to row <b>${position.number}</b>, hash${' '}
          <code title=${position.hash}>${short(position.hash, 16)}</code>.${' '}
          ${data.value && html`<${Badge} state="unchanged" />`}
        </p>`
  }`;
}

function Run({ progress, head }: { progress: Progress; head: number | null }): VNode {
  const { state, rows, seconds, last, flaws, error } = progress;
  const pace = seconds > 0 ? `, ${count(Math.round(rows / seconds))} rows a second` : '';
  const summary = `${count(rows)} rows up to row ${last.number}${pace}`;
  return html`${
      state === 'running' &&
      html`<label class="progress">
        Verifying: ${summary}
        <progress max=${Math.max(head ?? 0, last.number, 1)} value=${last.number}></progress>
      </label>`
    }
    <div role="status">
      ${state === 'stopped' && html`<p class="warning">Stopped after ${summary}.</p>`}
      ${state === 'done' && flaws.length === 0 && html`<p class="success">✓ The chain is whole: ${summary} verified.</p>`}
    </div>
    <${Flaws} flaws=${flaws} />
    ${error && html`<${ErrorNote} error=${error} />`}`;
}
