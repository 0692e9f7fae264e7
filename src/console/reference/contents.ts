// The list of operations beside the page, and the search over it. The keyboard is enough: Ctrl+K goes to the search, the
// arrows through the matches, Enter to the first, and Escape empties it.
import type { VNode } from 'preact';
import { html } from 'htm/preact';
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { Group } from './document.ts';
import { hrefOfOperation } from './places.ts';
import { searchGroups } from './search.ts';
import { Method, Path } from './text.ts';

export function Contents({ groups, current }: { groups: readonly Group[]; current: string | null }): VNode {
  const [query, setQuery] = useState('');
  // On a small screen the list is shown on request, or while the person searches.
  const [isOpen, setOpen] = useState(false);
  const box = useRef<HTMLDivElement>(null);
  const input = useRef<HTMLInputElement>(null);
  const found = useMemo(() => searchGroups(groups, query), [groups, query]);
  const total = found.reduce((sum, { operations }) => sum + operations.length, 0);
  useSearchKey(input);
  useEffect(() => {
    setOpen(false);
    box.current?.querySelector('[aria-current]')?.scrollIntoView({ block: 'nearest' });
  }, [current]);
  const clear = (): void => {
    setQuery('');
    input.current?.focus();
  };
  const move = (event: KeyboardEvent): void => {
    if (event.key === 'Escape') clear();
    const step = STEPS[event.key];
    if (step === undefined) return;
    event.preventDefault();
    moveFocus([...(box.current?.querySelectorAll('a') ?? [])], input.current, step);
  };
  const openFirst = (event: Event): void => {
    event.preventDefault();
    const [first] = found[0]?.operations ?? [];
    if (first && query !== '') location.hash = hrefOfOperation(first.id);
  };
  return html`<div class="contents" ref=${box} onKeyDown=${move}>
    <form role="search" onSubmit=${openFirst}>
      <label class="hidden" for="search">Search the operations</label>
      <input
        id="search"
        ref=${input}
        type="search"
        value=${query}
        placeholder="Search: Ctrl K"
        autocomplete="off"
        spellcheck=${false}
        aria-keyshortcuts="Control+K Meta+K"
        onInput=${(event: Event) => event.currentTarget instanceof HTMLInputElement && setQuery(event.currentTarget.value)}
      />
      <div class="actions">
        <p role="status" class="note">${total === 1 ? '1 operation' : `${total} operations`}</p>
        <button
          type="button"
          class="quiet only-small"
          aria-expanded=${isOpen}
          onClick=${() => setOpen((isOpen) => !isOpen)}
        >
          ${isOpen ? 'Hide the list' : 'Show the list'}
        </button>
      </div>
    </form>
    <nav aria-label="Operations" class=${isOpen || query !== '' ? 'open' : ''}>
      ${found.map(({ tag, operations }) => html`<${TagList} key=${tag} tag=${tag} operations=${operations} current=${current} />`)}
    </nav>
  </div>`;
}

function TagList({
  tag,
  operations,
  current,
}: {
  tag: string;
  operations: Group['operations'];
  current: string | null;
}): VNode {
  return html`<p class="tag" aria-hidden="true">${tag}</p>
    <ul aria-label=${tag}>
      ${operations.map(
        ({ id, method, path, summary }) =>
          html`<li key=${id}>
            <a href=${hrefOfOperation(id)} title=${summary} aria-current=${id === current ? 'page' : undefined}>
              <${Method} of=${method} /> <span><${Path} of=${path} /></span>
            </a>
          </li>`,
      )}
    </ul>`;
}

const STEPS: Readonly<Record<string, 1 | -1>> = { ArrowDown: 1, ArrowUp: -1 };

/** Moves the focus through the links; above the first one is the search. */
function moveFocus(links: readonly HTMLElement[], input: HTMLElement | null, step: 1 | -1): void {
  const index = links.findIndex((link) => link === document.activeElement);
  const next = index + step;
  if (next < 0) input?.focus();
  else links[Math.min(next, links.length - 1)]?.focus();
}

/** Ctrl+K, or Command and K, goes to the search from anywhere. */
function useSearchKey(input: { readonly current: HTMLInputElement | null }): void {
  useEffect(() => {
    const listen = (event: KeyboardEvent): void => {
      if (event.key.toLowerCase() !== 'k' || !(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey)
        return;
      event.preventDefault();
      input.current?.focus();
      input.current?.select();
    };
    addEventListener('keydown', listen);
    return () => removeEventListener('keydown', listen);
  }, []);
}
