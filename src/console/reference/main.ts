// Starts the reference in the page /docs.
import { html, render } from 'htm/preact';
import { startTheme } from '../theme.ts';
import { Reference } from './reference.ts';

startTheme();
const root = document.getElementById('app');
if (root) render(html`<${Reference} />`, root);
