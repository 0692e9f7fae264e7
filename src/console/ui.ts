// The pieces that pages are made of.
import type { ComponentChildren, VNode } from 'preact';
import { html } from 'htm/preact';
import { useEffect, useId } from 'preact/hooks';
import type { ApiError } from './api.ts';
import { time } from './format.ts';
import { hrefOf } from './place.ts';
import { useSession } from './session.ts';
import type { Data } from './use-data.ts';

/** The head of a page. It sets the title of the tab, and screen readers begin there. */
export function PageHead({
  title,
  note,
  children,
}: {
  title: string;
  note?: string;
  children?: ComponentChildren;
}): VNode {
  useEffect(() => {
    document.title = `${title} – GopherPay`;
  }, [title]);
  return html`<header class="page-head">
    <div>
      <h1 tabindex="-1">${title}</h1>
      ${note && html`<p class="note">${note}</p>`}
    </div>
    <div class="actions">${children}</div>
  </header>`;
}

export function Card({
  title,
  aside,
  children,
}: {
  title?: string;
  aside?: ComponentChildren;
  children?: ComponentChildren;
}): VNode {
  const id = useId();
  return html`<section class="card" aria-labelledby=${title ? id : undefined}>
    ${
      title &&
      html`<div class="card-head">
        <h2 id=${id}>${title}</h2>
        ${aside}
      </div>`
    }
    ${children}
  </section>`;
}

/** A figure with its name, and how full a limit is, between 0 and 1. */
export function Figure({
  name,
  value,
  note,
  fill,
}: {
  name: string;
  value: string;
  note?: string;
  fill?: number;
}): VNode {
  return html`<div class="figure">
    <dt>${name}</dt>
    <dd>
      ${value}${note && html` <span class="note">${note}</span>`}
      ${
        fill !== undefined &&
        html`<meter
          class=${fill > 0.9 ? 'full' : ''}
          min="0"
          max="1"
          value=${Math.min(1, fill)}
          aria-label=${`${name}: share of its limit`}
        ></meter>`
      }
    </dd>
  </div>`;
}

const TONES: Readonly<Record<string, string>> = {
  completed: 'good',
  open: 'good',
  enabled: 'good',
  delivered: 'good',
  captured: 'good',
  approved: 'good',
  balanced: 'good',
  'not balanced': 'bad',
  verified: 'good',
  unchanged: 'good',
  final: 'good',
  broken: 'bad',
  failed: 'bad',
  failing: 'bad',
  gone: 'bad',
  disabled: 'bad',
  rejected: 'bad',
  refused: 'bad',
  pending: 'busy',
  frozen: 'busy',
  receive_only: 'busy',
  paused: 'busy',
};

/** A state, in words and in color. */
export function Badge({ state }: { state: string }): VNode {
  return html`<span class="badge ${TONES[state] ?? ''}">${state}</span>`;
}

/** An instant: the person's own time, and the exact one on hover. */
export function Time({ at }: { at: string | null }): VNode {
  return html`<time datetime=${at} title=${at}>${time(at)}</time>`;
}

/** A link to a place of the current ledger. */
export function Go({
  to,
  query = {},
  children,
  class: name,
}: {
  to: readonly string[];
  query?: Readonly<Record<string, string | null | undefined>>;
  children?: ComponentChildren;
  class?: string;
}): VNode {
  const { ledger } = useSession();
  return html`<a class=${name} href=${hrefOf(ledger, to, query)}>${children}</a>`;
}

export type Column<Row> = {
  readonly name: string;
  /** Numbers are aligned to the right. */
  readonly numeric?: boolean;
  /** The column that names a row, for screen readers, and as the head of its card on a small screen. */
  readonly isHead?: boolean;
  readonly cell: (row: Row) => ComponentChildren;
};

/** A table. On a small screen each row is a card. */
export function Table<Row>({
  label,
  columns,
  rows,
  keyOf,
  empty = 'Nothing here yet.',
}: {
  label: string;
  columns: readonly Column<Row>[];
  rows: readonly Row[];
  keyOf: (row: Row) => string | number;
  empty?: string;
}): VNode {
  if (rows.length === 0) return html`<p class="empty">${empty}</p>`;
  return html`<div class="table" role="region" aria-label=${label} tabindex="0">
    <table>
      <caption class="hidden">
        ${label}
      </caption>
      <thead>
        <tr>
          ${columns.map(({ name, numeric }) => html`<th scope="col" class=${numeric ? 'numeric' : ''}>${name}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${rows.map(
          (row) =>
            html`<tr key=${keyOf(row)}>
              ${columns.map(({ name, numeric, isHead, cell }) =>
                isHead
                  ? html`<th scope="row" data-name=${name}>${cell(row)}</th>`
                  : html`<td data-name=${name} class=${numeric ? 'numeric' : ''}>${cell(row)}</td>`,
              )}
            </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}

/** The names and values of one thing. */
export function Facts({ facts }: { facts: readonly (readonly [name: string, value: ComponentChildren])[] }): VNode {
  return html`<dl class="facts">
    ${facts.map(
      ([name, value]) =>
        html`<div key=${name}>
          <dt>${name}</dt>
          <dd>${value ?? '–'}</dd>
        </div>`,
    )}
  </dl>`;
}

/** An error, with what to do about it. */
export function ErrorNote({ error }: { error: ApiError }): VNode {
  return html`<div class="error" role="alert">
    <strong>${error.message}</strong>
    ${error.flaws.map((flaw) => html`<span key=${flaw}>${flaw}</span>`)}
    <span class="note"
      ><code>${error.code}</code>${error.requestId && html` · request <code>${error.requestId}</code>`}</span
    >
  </div>`;
}

/** What was read, or that it is being read, or why it cannot be. */
export function Loaded<Answer>({
  data,
  children,
}: {
  data: Pick<Data<Answer>, 'value' | 'error'>;
  children: (value: Answer) => ComponentChildren;
}): VNode {
  const { value, error } = data;
  // Spaces around it in a template make it one of several children.
  const [render = children] = [children].flat().filter((child) => typeof child === 'function');
  return html`
    ${error && html`<${ErrorNote} error=${error} />`}
    ${value !== null ? render(value) : !error && html`<p class="empty" role="status">Loading …</p>`}
  `;
}

/** The buttons below a list: back to its beginning, and the next page. `after` is the cursor of the shown page. */
export function Pager({
  after,
  next,
  onGo,
}: {
  after: string | null;
  next: string | null;
  onGo: (after: string | null) => void;
}): VNode | null {
  if (after === null && next === null) return null;
  return html`<nav class="pager" aria-label="Parts of the list">
    <button type="button" disabled=${after === null} onClick=${() => onGo(null)}>First page</button>
    <button type="button" disabled=${next === null} onClick=${() => onGo(next)}>Next page</button>
  </nav>`;
}
