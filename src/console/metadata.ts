// The metadata of an account or a transfer. Each pair leads to the list of those that have it.
import type { VNode } from 'preact';
import { html } from 'htm/preact';
import { Go } from './ui.ts';

export function MetadataList({
  metadata,
  list = 'accounts',
}: {
  metadata: Readonly<Record<string, string>> | null;
  list?: 'accounts' | 'transfers';
}): VNode | null {
  const pairs = Object.entries(metadata ?? {});
  if (pairs.length === 0) return null;
  return html`<section aria-label="Metadata">
    <h3>Metadata</h3>
    <dl class="metadata">
      ${pairs.map(
        ([key, value]) =>
          html`<div key=${key}>
            <dt><code>${key}</code></dt>
            <dd>
              <bdi>${value}</bdi>${' '}
              <${Go} class="note" to=${[list]} query=${{ metadata: `${key}:${value}` }}>find others<//>
            </dd>
          </div>`,
      )}
    </dl>
  </section>`;
}
