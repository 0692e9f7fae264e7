// Starts the console in the page.
import { html, render } from 'htm/preact';
import { App } from './app.ts';
import { startTheme } from './theme.ts';

startTheme();
const root = document.getElementById('app');
if (root) render(html`<${App} />`, root);
