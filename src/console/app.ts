// The frame of the console: asks for a key if the service wants one, and shows the page of the current place.
import type { VNode } from 'preact';
import { html } from 'htm/preact';
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { Api } from './api.ts';
import { Navigation } from './navigation.ts';
import { PAGES } from './pages.ts';
import { MAIN_LEDGER } from './place.ts';
import { usePlace } from './router.ts';
import { rememberedKey, rememberKey, type Session, SessionProvider } from './session.ts';
import { SignIn } from './sign-in.ts';
import { useData } from './use-data.ts';
import type { Access } from './wire.ts';
import { ErrorNote } from './ui.ts';

export function App(): VNode {
  const [key, setKey] = useState(rememberedKey);
  const api = useMemo(() => new Api(key), [key]);
  const {
    value: access,
    error,
    loading,
  } = useData<Access>(async (signal) => await api.get('/access', { signal }), [key]);
  const enter = (entered: string | null): void => {
    rememberKey(entered);
    setKey(entered);
  };
  useEffect(() => {
    if (error?.status === 401) rememberKey(null);
  }, [error]);
  if (error?.status === 401 && !loading) return html`<${SignIn} wrong=${key !== null} onEnter=${enter} />`;
  if (access) return html`<${Frame} api=${api} access=${access} onLeave=${key === null ? null : () => enter(null)} />`;
  return html`<main class="alone">
    ${error ? html`<${ErrorNote} error=${error} />` : html`<p class="empty" role="status">Loading …</p>`}
  </main>`;
}

function Frame({ api, access, onLeave }: { api: Api; access: Access; onLeave: (() => void) | null }): VNode {
  const place = usePlace();
  // A key of one ledger shows that ledger, whatever a link says.
  const ledger = access.ledger ?? (place.ledger || MAIN_LEDGER);
  const session = useMemo<Session>(
    () => ({ api, access, ledger, may: (scope) => access.scopes.includes(scope) }),
    [api, access, ledger],
  );
  const [name = 'overview', ...rest] = place.path;
  const page = PAGES.find((page) => page.name === name);
  const main = useRef<HTMLElement>(null);
  const where = place.path.join('/');
  const isFirst = useRef(true);
  useEffect(() => {
    scrollTo(0, 0);
    // A screen reader goes on at the head of the new page.
    if (!isFirst.current) main.current?.querySelector('h1')?.focus();
    isFirst.current = false;
  }, [where, ledger]);
  return html`<${SessionProvider} value=${session}>
    <a
      class="skip"
      href="#content"
      onClick=${(event: Event) => {
        event.preventDefault();
        main.current?.focus();
      }}
      >Skip to the content</a
    >
    <${Navigation} current=${name} onLeave=${onLeave} />
    <main id="content" ref=${main} tabindex="-1">
      ${page ? html`<${page.component} key=${`${ledger}/${where}`} path=${rest} query=${place.query} />` : html`<p class="empty">There is no such page. <a href="#/">Go to the overview.</a></p>`}
    </main>
  <//>`;
}
