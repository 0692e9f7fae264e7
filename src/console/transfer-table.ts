// A table of transfers, as several pages show it.
import type { VNode } from 'preact';
import { html } from 'htm/preact';
import { money } from './format.ts';
import { Badge, type Column, Go, Table, Time } from './ui.ts';
import { accountHere, partyText, type Transfer } from './wire.ts';

const COLUMNS: readonly Column<Transfer>[] = [
  {
    name: 'Transfer',
    isHead: true,
    cell: ({ id, kind }) => html`<${Go} to=${['transfers', id]}>${kind} <code>${id.slice(-8)}</code><//>`,
  },
  {
    name: 'State',
    cell: ({ status, failure_code: code }) =>
      html`<span><${Badge} state=${status} />${code && html` <code>${code}</code>`}</span>`,
  },
  {
    name: 'From',
    cell: ({ from_account: from, from_ledger: ledger, currency }) =>
      html`<${Go} to=${['accounts', accountHere(from, ledger)]} query=${{ currency }}>${partyText(from, ledger)}<//>`,
  },
  {
    name: 'To',
    cell: ({ to_account: to, to_ledger: ledger, currency }) =>
      html`<${Go} to=${['accounts', accountHere(to, ledger)]} query=${{ currency }}>${partyText(to, ledger)}<//>`,
  },
  { name: 'Amount', numeric: true, cell: ({ amount, currency }) => money(amount, currency) },
  { name: 'Accepted', cell: ({ created_at: at }) => html`<${Time} at=${at} />` },
];

export function TransferTable({
  transfers,
  empty = 'No transfer was ordered yet.',
}: {
  transfers: readonly Transfer[];
  empty?: string;
}): VNode {
  return html`<${Table}
    label="Transfers"
    columns=${COLUMNS}
    rows=${transfers}
    keyOf=${({ id }: Transfer) => id}
    empty=${empty}
  />`;
}
