// One row of the journal: what it covers, and what this browser recomputes of it.
import type { ComponentChildren, VNode } from 'preact';
import { html } from 'htm/preact';
import { useEffect, useState } from 'preact/hooks';
import type { Api, Query } from '../api.ts';
import { Copy } from '../copy.ts';
import { money } from '../format.ts';
import { CAN_VERIFY, Chain, Flaws, NoCrypto } from '../journal-parts.ts';
import { fieldOf, namedFields } from '../record-fields.ts';
import { useSession } from '../session.ts';
import { Badge, Card, type Column, Facts, Go, Loaded, PageHead, Table, Time } from '../ui.ts';
import { useData } from '../use-data.ts';
import { type Flaw, verifyRecords, verifyRows } from '../verify.ts';
import type { JournalDetail, JournalRecord, JournalRow, Page } from '../wire.ts';

/** SubtleCrypto hashes whole texts only, so they must fit into the memory of a phone. */
const BYTES_MAX = 4_000_000;
const RECORDS_SHOWN = 100;

type RowData = {
  readonly row: JournalRow;
  /** The row with those before and after it. */
  readonly neighbors: readonly JournalRow[];
  readonly records: readonly JournalRecord[];
  /** Whether `records` are all. */
  readonly isWhole: boolean;
};

export function JournalRowPage({ number }: { number: string }): VNode {
  const { api, ledger } = useSession();
  const data = useData<RowData>(async (signal) => await readRow(api, { ledger, number, signal }), [ledger, number]);
  return html`<${PageHead} title=${`Journal row ${number}`} note=${`Ledger ${ledger}`}>
      <${Go} to=${['journal']}>All rows<//>
    <//>
    <${Loaded} data=${data}>${(value: RowData) => html`<${Detail} value=${value} />`}<//>`;
}

async function readRow(
  api: Api,
  { ledger, number, signal }: { ledger: string; number: string; signal: AbortSignal },
): Promise<RowData> {
  const path = `/journal/${encodeURIComponent(number)}`;
  const records: JournalRecord[] = [];
  let bytes = 0;
  let after: number | null = 0;
  let row: JournalRow | null = null;
  for (; after !== null && bytes <= BYTES_MAX;) {
    const query: Query = { limit: 1000, after_record: after };
    const { records: more, next_record: next, ...rest }: JournalDetail = await api.get(path, { ledger, query, signal });
    row = rest;
    after = next;
    bytes += JSON.stringify(more).length;
    // One by one: a spread of thousands would be so many arguments.
    for (const record of more) records.push(record);
  }
  if (row === null) throw new Error('The service sent no row.');
  const before = Math.max(0, row.number - 2);
  const { items } = await api.get<Page<JournalRow>>('/journal', {
    ledger,
    query: { order: 'oldest', limit: 3, after: before === 0 ? null : before },
    signal,
  });
  const neighbors = items.filter(({ number }) => Math.abs(number - (row?.number ?? 0)) <= 1);
  return { row, neighbors, records, isWhole: after === null };
}

function Detail({ value }: { value: RowData }): VNode {
  const { row, neighbors, records, isWhole } = value;
  const flaws = useFlaws(value);
  const [isLong, setLong] = useState(false);
  const shown = isLong ? records : records.slice(0, RECORDS_SHOWN);
  return html`${!CAN_VERIFY && html`<${NoCrypto} />`} <${Flaws} flaws=${flaws ?? []} />
    <${Card} title="Its place in the chain"
      ><${Chain}
        rows=${neighbors.toReversed()}
        verified=${flaws && { numbers: new Set(neighbors.map(({ number }) => number)), flaws }}
        label="The row and its neighbors"
    /><//>
    <${Card} title="Facts">
      <${Facts}
        facts=${[
          ['Settled', html`<${Time} at=${row.settled_at} />`],
          ['Transfers', row.transfer_count],
          ['Account changes and acts', row.change_count],
          ['Hash', html`<${Hash} text=${row.hash} name="the hash" />`],
          ['Previous hash', html`<${Hash} text=${row.previous_hash} name="the previous hash" />`],
          ['Digest of the records', html`<${Hash} text=${row.digest} name="the digest" />`],
        ]}
      />
    <//>
    ${flaws && html`<${Checks} value=${value} flaws=${flaws} />`}
    <${Card} title="Records" aside=${html`<span class="note">What the digest covers, in its order.</span>`}>
      <${Table}
        label="Records of the row"
        columns=${COLUMNS}
        rows=${shown}
        keyOf=${(record: JournalRecord) => records.indexOf(record)}
        empty="The row covers no records. A row without records is not written by the service."
      />
      ${
        shown.length < records.length &&
        html`<p class="pager">
          <button type="button" onClick=${() => setLong(true)}>Show all ${records.length}</button>
        </p>`
      }
      ${!isWhole && html`<p class="note">More than ${BYTES_MAX / 1_000_000} MB: the rest is not shown.</p>`}
    <//>`;
}

function Hash({ text, name }: { text: string; name: string }): VNode {
  return html`<code>${text}</code>${' '}<${Copy} text=${text} name=${name} />`;
}

/** The flaws of the row and of its neighbors; null while they are not verified. */
function useFlaws({ row, neighbors, records, isWhole }: RowData): readonly Flaw[] | null {
  const [flaws, setFlaws] = useState<readonly Flaw[] | null>(null);
  useEffect(() => {
    if (!CAN_VERIFY) return;
    const verify = async (): Promise<void> => {
      const ofChain = await verifyRows(neighbors, null);
      const first = neighbors[0]?.number;
      // The row itself may be the first of them only if it is the first of all.
      const missing = row.number > 1 && first === row.number ? [missingBefore(row.number)] : [];
      setFlaws([...missing, ...ofChain, ...(isWhole ? await verifyRecords(row, records) : [])]);
    };
    void verify();
  }, [row, neighbors, records, isWhole]);
  return flaws;
}

/** The flaw of a row whose predecessor is gone. */
function missingBefore(number: number): Flaw {
  return { number, what: 'number', expected: `row ${number - 1} before it`, found: 'no such row' };
}

function Checks({ value, flaws }: { value: RowData; flaws: readonly Flaw[] }): VNode {
  const { row, neighbors, isWhole } = value;
  const has = (what: Flaw['what'], number = row.number): boolean =>
    flaws.some((flaw) => flaw.what === what && flaw.number === number);
  const next = neighbors.find(({ number }) => number === row.number + 1);
  const checks: [string, ComponentChildren][] = [
    ['The hash follows from the fields', verdict(!has('hash'))],
    [
      row.number === 1 ? 'The chain begins here' : 'The row before has the previous hash',
      verdict(!has('link') && !has('number')),
    ],
    [
      'The row after names this hash',
      next ? verdict(!has('link', next.number) && !has('number', next.number)) : 'it is the last row',
    ],
    [
      'The digest follows from the records',
      isWhole
        ? verdict(!has('digest') && !has('counts'))
        : html`<span>too large to verify here: use <code>gopherpay audit</code></span>`,
    ],
  ];
  return html`<${Card} title="Recomputed in this browser"><${Facts} facts=${checks} /><//>`;
}

function verdict(isRight: boolean): VNode {
  return html`<${Badge} state=${isRight ? 'verified' : 'broken'} />`;
}

const COLUMNS: readonly Column<JournalRecord>[] = [
  { name: 'Record', isHead: true, cell: (record) => html`<${Subject} record=${record} />` },
  { name: 'What', cell: (record) => html`<${Summary} record=${record} />` },
  {
    name: 'Fields',
    cell: (record) =>
      html`<details class="fields">
        <summary>${namedFields(record).length} fields</summary>
        <dl class="metadata">
          ${namedFields(record).map(
            ([name, value]) =>
              html`<div key=${name}>
                <dt><code>${name}</code></dt>
                <dd><bdi>${value}</bdi></dd>
              </div>`,
          )}
        </dl>
      </details>`,
  },
];

function Subject({ record }: { record: JournalRecord }): VNode {
  const of = (name: string): string => fieldOf(record, name);
  if (record.kind === 'transfer') {
    return html`<${Go} to=${['transfers', of('id')]}>${of('kind')} <code>${of('id').slice(-8)}</code><//>`;
  }
  if (record.kind === 'account_change') {
    return html`<${Go} to=${['accounts', of('account_number')]} query=${{ currency: of('currency') }}
      >${of('account_number')}<//
    >`;
  }
  return html`<span>${of('action')}</span>`;
}

function Summary({ record }: { record: JournalRecord }): VNode {
  const of = (name: string): string => fieldOf(record, name);
  const currency = of('currency');
  if (record.kind === 'account_change') {
    return html`<span
      >${of('change_number') === '1' ? 'opened' : `change ${of('change_number')}`} in ${currency}</span
    >`;
  }
  if (record.kind === 'administration') return html`<span>${of('subject')} by ${of('actor') || 'the service'}</span>`;
  const amount = of('amount') === '' ? null : Number(of('amount'));
  return html`<span>
    <${Badge} state=${of('status')} /> ${money(amount, currency || null)} from${' '}
    <${Go} to=${['accounts', of('from_account')]} query=${{ currency }}>${of('from_account')}<//> to${' '}
    <${Go} to=${['accounts', of('to_account')]} query=${{ currency }}>${of('to_account')}<//>
    ${of('failure_code') && html` <code>${of('failure_code')}</code>`}
  </span>`;
}
