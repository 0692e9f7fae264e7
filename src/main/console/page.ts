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
  return {
    text,
    headers: {
      // The page is for everyone, but it names files of this version only.
      'Cache-Control': 'no-cache',
      'Content-Security-Policy': policyOf(`'self' 'sha256-${digest}'`),
      Vary: 'Accept',
    },
  };
}

/** Scripts, styles and requests of this origin only. Styles that scripts set on elements need no permission. */
export function policyOf(scripts: string): string {
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
