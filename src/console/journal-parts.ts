// What the pages of the journal share: the picture of the chain, and what a flaw means.
import type { VNode } from 'preact';
import { html } from 'htm/preact';
import { short } from './format.ts';
import { Go } from './ui.ts';
import type { Flaw } from './verify.ts';
import type { JournalRow } from './wire.ts';

const HASH_SHOWN = 10;

const MEANINGS: Readonly<Record<Flaw['what'], string>> = {
  hash: 'The hash does not follow from the other fields of the row. One of them was changed.',
  link: 'The row does not name the hash of the row before it. One of the two was changed.',
  number: 'The row does not follow the row before it. Rows are missing, or out of order.',
  digest: 'The digest does not follow from the records of the row. A record was changed, added or removed.',
  counts: 'The row covers another number of records than it states. Records were added or removed.',
  past: 'This browser verified this row with another hash before. The past was rewritten, or the books were restored from an older backup.',
};

/** Whether the browser can compute hashes: it can on https, and on this machine. */
export const CAN_VERIFY = globalThis.crypto.subtle !== undefined;

/** Says why nothing is verified. */
export function NoCrypto(): VNode {
  return html`<p class="warning" role="status">
    This browser computes hashes on https or on localhost only, so nothing is verified here. Open the console by https,
    or run <code>gopherpay audit</code>.
  </p>`;
}

/** What is known of rows: the numbers of those that were verified, and their flaws. */
export type Verified = { readonly numbers: ReadonlySet<number>; readonly flaws: readonly Flaw[] };

/** Rows as linked blocks; `verified`: null while none is. */
export function Chain({
  rows,
  verified,
  label,
}: {
  rows: readonly JournalRow[];
  verified: Verified | null;
  label: string;
}): VNode {
  return html`<ol class="chain" aria-label=${label} tabindex="0">
    ${rows.map((row) => {
      const own = verified?.flaws.filter(({ number }) => number === row.number) ?? [];
      const isLoose = own.some(({ what }) => what === 'link' || what === 'number');
      const state = stateOf(verified, row.number);
      return html`<li key=${row.number} class="${state} ${isLoose ? 'loose' : ''}">
        <${Go} to=${['journal', String(row.number)]}>Row ${row.number}<//>
        <code title=${row.hash}>${short(row.hash, HASH_SHOWN)}</code>
        <span class="mark-of">${MARKS[state]} ${state}</span>
      </li>`;
    })}
  </ol>`;
}

const MARKS = { verified: '✓', broken: '✗', unverified: '…' } as const;

export function stateOf(verified: Verified | null, number: number): keyof typeof MARKS {
  if (!verified?.numbers.has(number)) return 'unverified';
  return verified.flaws.some((flaw) => flaw.number === number) ? 'broken' : 'verified';
}

/** What is wrong, and what to do. */
export function Flaws({ flaws }: { flaws: readonly Flaw[] }): VNode | null {
  if (flaws.length === 0) return null;
  return html`<div class="error" role="alert">
    <strong>The journal is broken: ${flaws.length === 1 ? 'one flaw' : `${flaws.length} flaws`}.</strong>
    <ul class="flaws">
      ${flaws.map(
        ({ number, what, expected, found }) =>
          html`<li key=${`${number}${what}`}>
            <${Go} to=${['journal', String(number)]}>Row ${number}<//>: ${MEANINGS[what]}
            <span class="note">expected <code>${expected}</code>, found <code>${found}</code></span>
          </li>`,
      )}
    </ul>
    <p>
      Run <code>gopherpay audit</code> on the database, which names every changed row, and compare with a checkpoint
      that is kept elsewhere. Keep the database as it is until the cause is known.
    </p>
  </div>`;
}
