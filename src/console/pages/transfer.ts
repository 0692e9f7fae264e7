// One transfer as its story: who requested it, when it was accepted and settled, its two entries, and what belongs to it.
import type { ComponentChildren, VNode } from 'preact';
import { html } from 'htm/preact';
import { useEffect, useState } from 'preact/hooks';
import { ApiError } from '../api.ts';
import { Copy } from '../copy.ts';
import { Action, outcomeOf, type Outcome } from '../dialog.ts';
import { explainFailure } from '../failures.ts';
import { duration, millisBetween, money, short } from '../format.ts';
import { AmountField, amountOf, HoldActions } from '../hold-actions.ts';
import { MetadataList } from '../metadata.ts';
import { useSession } from '../session.ts';
import { TransferTable } from '../transfer-table.ts';
import { Badge, Card, Facts, Go, Loaded, PageHead, Time } from '../ui.ts';
import { useData } from '../use-data.ts';
import {
  accountHere,
  type Approval,
  type Entry,
  type Hold,
  type JournalEvent,
  type Page,
  partyText,
  type SettledTransfer,
  type Transfer as TransferJson,
} from '../wire.ts';

/** How often a transfer that may still change is read again. */
const READ_MS = 1000;
const RELATED_READ_MS = 5000;
const RELATED_MAX = 100;

/** The journal's part of the story: null where the key may not read it, or the row is not there. */
type Settling = {
  readonly event: JournalEvent | null;
  readonly settled: SettledTransfer | null;
  readonly from: Entry | null;
  readonly to: Entry | null;
};
const NOT_READ: Settling = { event: null, settled: null, from: null, to: null };

export function Transfer({ id }: { id: string }): VNode {
  const { api, ledger } = useSession();
  const [isFinal, setFinal] = useState(false);
  const data = useData<TransferJson>(
    async (signal) => await api.get(`/transfers/${encodeURIComponent(id)}`, { ledger, signal }),
    [ledger, id],
    isFinal ? null : READ_MS,
  );
  const { value } = data;
  useEffect(() => setFinal(value !== null && value.status !== 'pending'), [value]);
  return html`<${Loaded} data=${data}>${(transfer: TransferJson) => html`<${Story} transfer=${transfer} />`}<//>`;
}

function Story({ transfer }: { transfer: TransferJson }): VNode {
  const { id, kind, status, amount, currency } = transfer;
  const settling = useSettling(transfer);
  return html`<${PageHead}
      title=${`${titleOf(kind)} of ${money(amount, currency)}`}
      note=${transfer.description ?? undefined}
    >
      <${Badge} state=${status} />
      <code>${id}</code>
      <${Copy} text=${id} name="the id of the transfer" />
      <${ReverseAction} transfer=${transfer} />
    <//>
    <${Flow} transfer=${transfer} settling=${settling} />
    ${transfer.failure_code !== null && html`<p class="error"><strong>${explainFailure(transfer.failure_code)}</strong> <code>${transfer.failure_code}</code></p>`}
    ${kind === 'hold' && html`<${HoldCard} id=${id} status=${status} />`}
    <${Way} transfer=${transfer} settling=${settling} />
    <${Related} transfer=${transfer} />
    <${MetadataCard} transfer=${transfer} />`;
}

/** A kind as the first word of a title. */
function titleOf(kind: string): string {
  return kind.charAt(0).toUpperCase() + kind.slice(1);
}

/** Reads the row of the journal and the two entries, once the transfer is final. */
function useSettling({
  id,
  journal_number: row,
  from_account: fromAccount,
  from_ledger: fromLedger,
  to_account: toAccount,
  to_ledger: toLedger,
  currency,
}: TransferJson): Settling {
  const [from, to] = [accountHere(fromAccount, fromLedger), accountHere(toAccount, toLedger)];
  const { api, ledger, may } = useSession();
  const { value } = useData<Settling>(
    async (signal) => {
      if (row === null || !may('events:read')) return NOT_READ;
      const entryOf = async (account: string, number: number | null | undefined): Promise<Entry | null> => {
        if (number === null || number === undefined || !may('accounts:read')) return null;
        const query = { currency, after: number + 1, limit: 1 };
        const path = `/accounts/${encodeURIComponent(account)}/entries`;
        const page = await api.get<Page<Entry>>(path, { ledger, query, signal }).catch(ignoreRefusal);
        return page?.items[0] ?? null;
      };
      // A row may cover many transfers: only those of one account are read.
      const query = { after: row - 1, limit: 1, account: from.startsWith('@') ? to : from };
      const page = await api.get<Page<JournalEvent>>('/events', { ledger, query, signal }).catch(ignoreRefusal);
      const event = page?.items.find(({ journal_number: number }) => number === row) ?? null;
      const settled = event?.transfers.find((transfer) => transfer.id === id) ?? null;
      const entries = [entryOf(from, settled?.from_entry_number), entryOf(to, settled?.to_entry_number)] as const;
      const [fromEntry, toEntry] = await Promise.all(entries);
      return { event, settled, from: fromEntry, to: toEntry };
    },
    [ledger, id, row],
  );
  return value ?? NOT_READ;
}

/** A key that is limited to some accounts may not read the others. The story has the rest. */
function ignoreRefusal(error: unknown): null {
  if (error instanceof ApiError && error.status >= 400 && error.status < 500) return null;
  throw error;
}

/** The picture: two accounts, and what moved between them. */
function Flow({ transfer, settling }: { transfer: TransferJson; settling: Settling }): VNode {
  const { amount, currency, conversion, status } = transfer;
  return html`<div class="flow card ${status}">
    <${Party}
      role="From"
      number=${transfer.from_account}
      otherLedger=${transfer.from_ledger}
      currency=${currency}
      entry=${settling.from}
    />
    <div class="arrow">
      <b>${money(amount, currency)}</b>
      <span class="line" aria-hidden="true"></span>
      ${conversion && html`<span class="note">1 ${conversion.from_currency} = ${conversion.rate} ${conversion.to_currency}</span>`}
    </div>
    <${Party}
      role="To"
      number=${transfer.to_account}
      otherLedger=${transfer.to_ledger}
      currency=${currency}
      entry=${settling.to}
    />
  </div>`;
}

function Party({
  role,
  number,
  otherLedger,
  currency,
  entry,
}: {
  role: string;
  number: string;
  otherLedger: string | undefined;
  currency: string | null;
  entry: Entry | null;
}): VNode {
  return html`<div class="party">
    <span class="note">${role}</span>
    <${Go} to=${['accounts', accountHere(number, otherLedger)]} query=${{ currency }}>
      ${partyText(number, otherLedger)}
    <//>
    ${
      entry &&
      html`<span>entry ${entry.entry_number}: <b>${money(entry.amount, currency)}</b></span>
        <span class="note">balance after ${money(entry.balance, currency)}</span>`
    }
  </div>`;
}

function HoldCard({ id, status }: { id: string; status: string }): VNode {
  const { api, ledger } = useSession();
  const data = useData<Hold>(
    async (signal) => await api.get(`/holds/${id}`, { ledger, signal }),
    [ledger, id, status],
    RELATED_READ_MS,
  );
  // There is no hold where it was refused.
  if (status === 'failed') return html``;
  return html`<${Card} title="Hold">
    <${Loaded} data=${data}>
      ${(hold: Hold) =>
        html`<div class="stack">
          <${Facts}
            facts=${[
              ['State', html`<${Badge} state=${hold.state} />`],
              ['Captured', money(hold.captured, hold.currency)],
              ['Released', money(hold.released, hold.currency)],
              ['Remaining', money(hold.remaining, hold.currency)],
              ['Expires', hold.expires_at === null ? 'never' : html`<${Time} at=${hold.expires_at} />`],
            ]}
          />
          <${HoldActions} hold=${hold} onDone=${data.reload} />
        </div>`}
    <//>
  <//>`;
}

/** The steps from the request to the final state, with the time between them. */
function Way({ transfer, settling }: { transfer: TransferJson; settling: Settling }): VNode {
  const { request_id: requestId, created_at: created, completed_at: completed, status } = transfer;
  const took = completed === null ? null : millisBetween(created, completed);
  return html`<${Card} title="Its way">
    <ol class="way">
      <${Step} name="Requested">
        <p>
          Request <${Go} to=${['transfers']} query=${{ request_id: requestId }}><code>${requestId}</code><//>
          ${transfer.ordered_by === null ? ' without a key' : html` by the key <code>${transfer.ordered_by}</code>`}
        </p>
      <//>
      ${
        transfer.approved_by !== null &&
        html`<${Step} name="Approved"
          ><p>By the key <code>${transfer.approved_by}</code></p><//
        >`
      }
      <${Step} name="Accepted" at=${created}><p>It ends completed or failed, whatever crashes.</p><//>
      ${
        completed === null
          ? html`<${Step} name="Waiting" isBusy><p>A job settles it next. This page shows it when it is final.</p><//>`
          : html`<${Settled} transfer=${transfer} settling=${settling} after=${took} />
              <${Step}
                name=${status === 'completed' ? 'Completed' : 'Refused'}
                at=${completed}
                isBad=${status === 'failed'}
              >
                <p>
                  ${
                    transfer.failure_code === null
                      ? `Final${took === null ? '' : `, ${took === 0 ? 'at the instant at which' : `${durationOf(took)} after`} it was accepted`}.`
                      : explainFailure(transfer.failure_code)
                  }
                </p>
              <//>`
      }
    </ol>
  <//>`;
}

/** The job that settled the transfer, which is one row of the journal. */
function Settled({
  transfer: { journal_number: row, completed_at: completed, status },
  settling: { event, settled },
  after,
}: {
  transfer: TransferJson;
  settling: Settling;
  after: number | null;
}): VNode {
  const { may } = useSession();
  const name = `journal row ${row}`;
  const others = (event?.transfer_count ?? 1) - 1;
  return html`<${Step} name="Settled by a job" at=${event?.settled_at ?? completed} after=${after}>
    <p>
      ${may('events:read') ? html`<${Go} to=${['journal', String(row)]}>${name}<//>` : name}
      ${event && (others === 0 ? ', with no other transfer' : `, with ${others} other ${others === 1 ? 'transfer' : 'transfers'}`)}
    </p>
    ${
      event &&
      html`<p class="note">
        hash <code title=${event.hash}>${short(event.hash, 16)}</code>, after ${' '}<code title=${event.previous_hash}
          >${short(event.previous_hash, 16)}</code
        >
        ${' '}<${Copy} text=${event.hash} name="the hash of the row" />
      </p>`
    }
    ${
      settled &&
      status === 'completed' &&
      html`<p class="note">
        ${
          settled.from_entry_number === null
            ? 'No money moved, so there are no entries.'
            : `Entry ${settled.from_entry_number} of the sender and entry ${settled.to_entry_number} of the recipient.`
        }
      </p>`
    }
    ${!may('events:read') && html`<p class="note">Its hash and entries need a key with the scope events:read.</p>`}
  <//>`;
}

function Step({
  name,
  at,
  after = null,
  isBusy,
  isBad,
  children,
}: {
  name: string;
  at?: string | null;
  /** Milliseconds since the step before. */
  after?: number | null;
  isBusy?: boolean;
  isBad?: boolean;
  children?: ComponentChildren;
}): VNode {
  return html`<li class=${isBusy ? 'busy' : isBad ? 'bad' : ''}>
    <h3>
      ${name} ${at && html`<span class="note"><${Time} at=${at} /></span>`}
      ${after !== null && after > 0 && html`<span class="note">+ ${durationOf(after)}</span>`}
    </h3>
    ${children}
  </li>`;
}

function durationOf(millis: number): string {
  return duration(millis / 1000);
}

/** The transfers that belong to this one: its parent, those that end or reverse it, and its group. */
function Related({ transfer }: { transfer: TransferJson }): VNode {
  const { id, kind, parent_id: parent, group_id: group } = transfer;
  const children = kind === 'hold' ? 'Captures and end of the hold' : 'Reversals';
  return html`${
      parent !== null &&
      html`<${Card} title=${kind === 'reversal' ? 'Reverses' : 'Belongs to the hold'}>
        <${Go} to=${['transfers', parent]}><code>${parent}</code><//>
      <//>`
    }
    <${TransferList} title=${children} query=${{ parent_id: id }} ifAny />
    ${group !== null && html`<${TransferList} title="Its group" query=${{ group_id: group }} />`}`;
}

function TransferList({
  title,
  query,
  ifAny,
}: {
  title: string;
  query: { parent_id: string } | { group_id: string };
  /** Nothing is shown where there is none. */
  ifAny?: boolean;
}): VNode | null {
  const { api, ledger } = useSession();
  const data = useData<Page<TransferJson>>(
    async (signal) => await api.get('/transfers', { ledger, query: { ...query, limit: RELATED_MAX }, signal }),
    [ledger, JSON.stringify(query)],
    RELATED_READ_MS,
  );
  if (ifAny && !data.value?.items.length) return null;
  return html`<${Card} title=${title} aside=${html`<${Go} to=${['transfers']} query=${query}>As a list<//>`}>
    <${Loaded} data=${data}> ${({ items }: Page<TransferJson>) => html`<${TransferTable} transfers=${items} />`} <//>
  <//>`;
}

function MetadataCard({ transfer: { metadata } }: { transfer: TransferJson }): VNode | null {
  if (metadata === null || Object.keys(metadata).length === 0) return null;
  return html`<${Card}><${MetadataList} metadata=${metadata} list="transfers" /><//>`;
}

function ReverseAction({ transfer }: { transfer: TransferJson }): VNode | null {
  const { api, ledger, may } = useSession();
  const { id, kind, status, amount, currency } = transfer;
  if (!may('reversals:write') || amount === null || currency === null) return null;
  // A step of a transfer between ledgers is not reversed.
  if ((transfer.from_ledger ?? transfer.to_ledger) !== undefined) return null;
  const run = async (form: FormData, idempotencyKey: string): Promise<Outcome> => {
    const body = { amount: amountOf(form, currency) };
    const request = { ledger, body, idempotencyKey, headers: { Prefer: 'wait=10' } };
    return outcomeOf(await api.send<TransferJson | Approval>('POST', `/transfers/${id}/reversals`, request));
  };
  return html`<${Action}
    label="Reverse"
    title="Reverse the transfer?"
    isDanger
    isOffered=${status === 'completed' && (kind === 'transfer' || kind === 'capture')}
    run=${run}
  >
    <p>
      Moves the amount from <bdi>${transfer.to_account}</bdi> back to <bdi>${transfer.from_account}</bdi>. The transfer
      itself stays in the books.
    </p>
    <${AmountField} amount=${amount} currency=${currency} />
  <//>`;
}
