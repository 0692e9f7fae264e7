// The navigation: the pages that the key may see, the ledger, the theme, and the way out.
import type { VNode } from 'preact';
import { html } from 'htm/preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { PAGES } from './pages.ts';
import { hrefOf } from './place.ts';
import { go } from './router.ts';
import { useSession } from './session.ts';
import { chooseTheme, chosenTheme, nextTheme } from './theme.ts';
import { useData } from './use-data.ts';
import type { Ledger, Page } from './wire.ts';

const LEDGERS_MAX = 100;

export function Navigation({ current, onLeave }: { current: string; onLeave: (() => void) | null }): VNode {
  const { ledger, access, may } = useSession();
  const [theme, setTheme] = useState(chosenTheme);
  const pages = PAGES.filter(({ title, scope }) => title !== null && (scope === null || may(scope)));
  const list = useRef<HTMLUListElement>(null);
  useEffect(() => {
    // On a small screen the names are in one line, which is longer than the screen.
    const box = list.current?.parentElement;
    const link = list.current?.querySelector<HTMLElement>('[aria-current]');
    if (box && link) box.scrollLeft = link.offsetLeft - (box.clientWidth - link.offsetWidth) / 2;
  }, [current]);
  const turn = (): void => {
    const next = nextTheme(theme);
    chooseTheme(next);
    setTheme(next);
  };
  return html`<header class="side">
    <a class="brand" href=${hrefOf(ledger, [])}><span class="mark" aria-hidden="true">⇄</span> GopherPay</a>
    <${LedgerChoice} current=${current} />
    <nav aria-label="Pages">
      <ul ref=${list}>
        ${pages.map(({ name, title }) => html`<li key=${name}><a href=${hrefOf(ledger, name === 'overview' ? [] : [name])} aria-current=${name === current ? 'page' : undefined}>${title}</a></li>`)}
        <li><a href="docs">Interface</a></li>
      </ul>
    </nav>
    <div class="about">
      <span class="note">${access.key ? html`key <code>${access.key}</code>` : 'no key: this machine only'}</span>
      <span class="note version">version ${access.version}</span>
      <button type="button" class="quiet" onClick=${turn}>Theme: ${theme}</button>
      ${onLeave && html`<button type="button" class="quiet" onClick=${onLeave}>Forget the key</button>`}
    </div>
  </header>`;
}

function LedgerChoice({ current }: { current: string }): VNode {
  const { api, ledger, access, may } = useSession();
  const mayList = access.ledger === null && may('ledgers:admin');
  const { value } = useData<Page<Ledger> | null>(
    async (signal) => (mayList ? await api.get('/ledgers', { query: { limit: LEDGERS_MAX }, signal }) : null),
    [mayList],
  );
  const names = new Set([ledger, ...(value?.items ?? []).map(({ name }) => name)]);
  if (names.size === 1) return html`<p class="ledger"><span class="note">Ledger</span> <b>${ledger}</b></p>`;
  const choose = (event: Event): void => {
    if (!(event.currentTarget instanceof HTMLSelectElement)) return;
    go(hrefOf(event.currentTarget.value, current === 'overview' ? [] : [current]));
  };
  return html`<label class="ledger"
    ><span class="note">Ledger</span>
    <select value=${ledger} onChange=${choose}>
      ${[...names].map((name) => html`<option key=${name} value=${name}>${name}</option>`)}
    </select>
  </label>`;
}
