// The pages of the console and of the reference: empty documents that load the modules, and the policy that forbids
// everything else.
import { createHash } from 'node:crypto';
import type { Assets } from './assets.ts';

export type Page = { readonly text: string; readonly headers: Readonly<Record<string, string>> };

/** What a page loads. All its addresses are relative, so that it works behind a prefix. */
type PageParts = {
  readonly title: string;
  readonly styles: readonly string[];
  readonly main: string;
  /** Whether a module is loaded from the beginning, by its name. */
  readonly needs: (module: string) => boolean;
  readonly withoutScripts: string;
};

const OF_REFERENCE = 'reference/';
/** What the reference imports beside its own modules. */
const SHARED_WITH_REFERENCE = new Set(['copy.ts', 'theme.ts', 'preact', 'preact/hooks', 'htm', 'htm/preact']);

const CONSOLE: PageParts = {
  title: 'GopherPay',
  styles: ['uplot.css', 'console.css'],
  main: 'main.ts',
  needs: (module) => !module.startsWith(OF_REFERENCE),
  withoutScripts:
    'The console needs JavaScript. The HTTP interface does not: <a href="openapi.json">openapi.json</a> lists it.',
};
const REFERENCE: PageParts = {
  title: 'Interface – GopherPay',
  styles: ['console.css', 'reference/reference.css'],
  main: 'reference/main.ts',
  needs: (module) => module.startsWith(OF_REFERENCE) || SHARED_WITH_REFERENCE.has(module),
  withoutScripts: 'This page needs JavaScript: <a href="openapi.json">openapi.json</a> has all that it shows.',
};

export function renderConsolePage(assets: Assets): Page {
  return renderPage(assets, CONSOLE);
}

/** Renders the page of the reference, which the browser draws from openapi.json. */
export function renderReferencePage(assets: Assets): Page {
  return renderPage(assets, REFERENCE);
}

function renderPage({ paths, importMap }: Assets, { title, styles, main, needs, withoutScripts }: PageParts): Page {
  const pathOf = (name: string): string => paths.get(name) ?? name;
  const modules = [...paths].filter(([name, path]) => path.endsWith('.js') && needs(name)).map(([, path]) => path);
  const text = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title}</title>
<link rel="icon" type="image/svg+xml" href="${pathOf('icon.svg')}">
${styles.map((name) => `<link rel="stylesheet" href="${pathOf(name)}">`).join('\n')}
<script type="importmap">${importMap}</script>
${modules.map((path) => `<link rel="modulepreload" href="${path}">`).join('\n')}
<script type="module" src="${pathOf(main)}"></script>
</head>
<body>
<div id="app"></div>
<noscript><p>${withoutScripts}</p></noscript>
</body>
</html>
`;
  const digest = createHash('sha256').update(importMap).digest('base64');
  return { text, headers: headersOf(policyOf(`'self' 'sha256-${digest}'`)) };
}

function headersOf(policy: string): Record<string, string> {
  return {
    // The page is for everyone, but it names files of this version only.
    'Cache-Control': 'no-cache',
    'Content-Security-Policy': policy,
    Vary: 'Accept',
  };
}

/** Scripts, styles and requests of this origin only. Styles that scripts set on elements need no permission. */
function policyOf(scripts: string): string {
  return [
    "default-src 'none'",
    `script-src ${scripts}`,
    "style-src 'self'",
    "img-src 'self' data:",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
  ].join('; ');
}
