// Descriptions of the document: text with `code` and line breaks.
import type { VNode } from 'preact';
import { html } from 'htm/preact';

export function Text({ of }: { of: string }): VNode {
  return html`${of.split('\n').map((line) => html`<span class="line-of">${withCode(line)}</span>`)}`;
}

function withCode(line: string): VNode[] {
  // Every second part was between two backticks.
  return line.split('`').map((part, index) => (index % 2 === 1 ? html`<code>${part}</code>` : html`${part}`));
}

/** The method of an operation, in color. */
export function Method({ of }: { of: string }): VNode {
  return html`<span class="method ${of.toLowerCase()}">${of}</span>`;
}

/** A path, which breaks at its slashes where there is no room. */
export function Path({ of }: { of: string }): VNode {
  return html`${of.split(/(?=\/)/).map((segment) => html`<wbr />${segment}`)}`;
}
