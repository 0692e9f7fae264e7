// The frame of the reference: reads openapi.json, and shows the operation or the schema that the address names.
import type { VNode } from 'preact';
import { html } from 'htm/preact';
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { chooseTheme, chosenTheme, nextTheme } from '../theme.ts';
import { DocumentProvider } from './context.ts';
import { Contents } from './contents.ts';
import { type Group, groupsOf, type OpenApi, schemaNamed } from './document.ts';
import { OperationView } from './operation-view.ts';
import { parsePlace, type Place, useHash } from './places.ts';
import { SchemaPage, StartView } from './start-view.ts';

type Loading = { readonly document: OpenApi | null; readonly error: string | null };

export function Reference(): VNode {
  const [{ document: loaded, error }, setLoading] = useState<Loading>({ document: null, error: null });
  useEffect(() => {
    readDocument()
      .then((loaded) => setLoading({ document: loaded, error: null }))
      .catch((error: unknown) => setLoading({ document: null, error: String(error) }));
  }, []);
  if (loaded) return html`<${DocumentProvider} value=${loaded}><${Frame} loaded=${loaded} /><//>`;
  return html`<main class="alone">
    ${
      error === null
        ? html`<p class="empty" role="status">Loading …</p>`
        : html`<p class="error" role="alert">The description of the interface could not be read. ${error}</p>`
    }
  </main>`;
}

async function readDocument(): Promise<OpenApi> {
  const response = await fetch(new URL('openapi.json', document.baseURI), { credentials: 'omit' });
  if (!response.ok) throw new Error(`openapi.json was answered with ${response.status}.`);
  return await response.json();
}

function Frame({ loaded }: { loaded: OpenApi }): VNode {
  const hash = useHash();
  const place = useMemo(() => parsePlace(hash), [hash]);
  const groups = useMemo(() => groupsOf(loaded), [loaded]);
  const main = useRef<HTMLElement>(null);
  const isFirst = useRef(true);
  const title = titleOf(place, groups);
  useEffect(() => {
    document.title = `${title} – GopherPay`;
    scrollTo(0, 0);
    // A screen reader goes on at the head of the new page.
    if (!isFirst.current) main.current?.querySelector('h1')?.focus();
    isFirst.current = false;
  }, [hash]);
  const skip = (event: Event): void => {
    event.preventDefault();
    main.current?.focus();
  };
  return html`<a class="skip" href="#content" onClick=${skip}>Skip to the content</a>
    <header class="side">
      <a class="brand" href="#"><span class="mark" aria-hidden="true">⇄</span> Interface</a>
      <span class="actions"><a href="./">Console</a> <${ThemeButton} /></span>
      <${Contents} groups=${groups} current=${place.kind === 'operation' ? place.id : null} />
    </header>
    <main id="content" ref=${main} tabindex="-1">
      <${Shown} key=${hash} place=${place} groups=${groups} loaded=${loaded} />
    </main>`;
}

function Shown({ place, groups, loaded }: { place: Place; groups: readonly Group[]; loaded: OpenApi }): VNode {
  if (place.kind === 'start') return html`<${StartView} groups=${groups} />`;
  if (place.kind === 'schema') {
    const schema = schemaNamed(loaded, place.name);
    return schema ? html`<${SchemaPage} name=${place.name} schema=${schema} groups=${groups} />` : html`<${Nothing} />`;
  }
  const operation = operationNamed(groups, place.id);
  return operation ? html`<${OperationView} operation=${operation} />` : html`<${Nothing} />`;
}

function Nothing(): VNode {
  return html`<h1 tabindex="-1">Nothing here</h1>
    <p class="empty">This version of the interface has no such operation or object. <a href="#">See all of it.</a></p>`;
}

function ThemeButton(): VNode {
  const [theme, setTheme] = useState(chosenTheme);
  const turn = (): void => {
    const next = nextTheme(theme);
    chooseTheme(next);
    setTheme(next);
  };
  return html`<button type="button" class="quiet" onClick=${turn}>Theme: ${theme}</button>`;
}

function operationNamed(groups: readonly Group[], id: string): Group['operations'][number] | undefined {
  return groups.flatMap(({ operations }) => operations).find((operation) => operation.id === id);
}

function titleOf(place: Place, groups: readonly Group[]): string {
  if (place.kind === 'start') return 'Interface';
  if (place.kind === 'schema') return `${place.name} – Interface`;
  const operation = operationNamed(groups, place.id);
  return operation ? `${operation.method} ${operation.path} – Interface` : 'Interface';
}
