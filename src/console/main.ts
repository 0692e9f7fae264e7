// Starts the console in the page.
import { html, render } from 'htm/preact';
import { App } from './app.ts';
import { startTheme } from './theme.ts';

// A page that the browser kept for its Back button may have a key that was forgotten since.
addEventListener('pageshow', (event) => {
  if (event.persisted) location.reload();
});

startTheme();
const root = document.getElementById('app');
if (root) render(html`<${App} />`, root);
