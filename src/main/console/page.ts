// The page of the console: an empty document that loads the modules, and the policy that forbids everything else.
import { createHash } from 'node:crypto';
import type { Assets } from './assets.ts';

export type Page = { readonly text: string; readonly headers: Readonly<Record<string, string>> };

/** Renders the page. All its addresses are relative, so that it works behind a prefix. */
export function renderPage({ paths, importMap }: Assets): Page {
  const pathOf = (name: string): string => paths.get(name) ?? name;
  const modules = [...paths].filter(([, path]) => path.endsWith('.js')).map(([, path]) => path);
  const text = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>GopherPay</title>
<link rel="icon" type="image/svg+xml" href="${pathOf('icon.svg')}">
<link rel="stylesheet" href="${pathOf('uplot.css')}">
<link rel="stylesheet" href="${pathOf('console.css')}">
<script type="importmap">${importMap}</script>
${modules.map((path) => `<link rel="modulepreload" href="${path}">`).join('\n')}
<script type="module" src="${pathOf('main.ts')}"></script>
</head>
<body>
<div id="app"></div>
<noscript><p>The console needs JavaScript. The HTTP interface does not: <a href="openapi.json">openapi.json</a> lists it.</p></noscript>
</body>
</html>
`;
  const digest = createHash('sha256').update(importMap).digest('base64');
  return { text, headers: headersOf(policyOf(`'self' 'sha256-${digest}'`)) };
}

/**
 * Renders the reference page. Swagger UI draws it from openapi.json. It renders descriptions by innerHTML, after DOMPurify
 * cleaned them, so this page cannot require trusted types.
 */
export function renderReferencePage({ paths }: Pick<Assets, 'paths'>): Page {
  const pathOf = (name: string): string => paths.get(name) ?? name;
  const text = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Interface – GopherPay</title>
<link rel="icon" type="image/svg+xml" href="${pathOf('icon.svg')}">
<link rel="stylesheet" href="${pathOf('swagger-ui.css')}">
<link rel="stylesheet" href="${pathOf('reference.css')}">
<script defer src="${pathOf('swagger-ui-bundle.js')}"></script>
<script type="module" src="${pathOf('reference.ts')}"></script>
</head>
<body>
<header class="top"><a href="./">GopherPay: back to the console</a></header>
<main id="reference"><p>Loading …</p></main>
<noscript><p>This page needs JavaScript: <a href="openapi.json">openapi.json</a> has all that it shows.</p></noscript>
</body>
</html>
`;
  return { text, headers: headersOf(policyOf("'self'", { trustedTypes: false })) };
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
export function policyOf(scripts: string, { trustedTypes = true } = {}): string {
  return [
    "default-src 'none'",
    `script-src ${scripts}`,
    "style-src 'self'",
    "img-src 'self' data:",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    ...(trustedTypes ? ["require-trusted-types-for 'script'"] : []),
  ].join('; ');
}
