// A button that copies a text, such as an id or a command.
import type { VNode } from 'preact';
import { html } from 'htm/preact';
import { useRef, useState } from 'preact/hooks';

/** How long the button says what came of it. */
const SHOWN_MS = 1500;

export function Copy({ text, name }: { text: string; name: string }): VNode {
  const button = useRef<HTMLButtonElement>(null);
  const [outcome, setOutcome] = useState('');
  const copy = async (): Promise<void> => {
    setOutcome((await copyText(text, button.current)) ? 'Copied' : 'Not copied');
    setTimeout(() => setOutcome(''), SHOWN_MS);
  };
  return html`<button
      ref=${button}
      type="button"
      class="quiet"
      onClick=${() => void copy()}
      aria-label=${`Copy ${name}`}
    >
      ${outcome || 'Copy'}</button
    ><span class="hidden" role="status">${outcome}</span>`;
}

/** Copies a text; returns false if the browser does not let it. */
async function copyText(text: string, button: HTMLElement | null): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Browsers have a clipboard on https and localhost only, and may refuse it; elsewhere the older way works.
    return copySelected(text, button);
  }
}

function copySelected(text: string, button: HTMLElement | null): boolean {
  const box = document.createElement('textarea');
  box.className = 'hidden';
  box.value = text;
  // Within an open dialog nothing outside it can be selected.
  (button?.parentElement ?? document.body).append(box);
  box.select();
  // oxlint-disable-next-line typescript/no-deprecated -- no other way exists on plain http.
  const isDone = document.execCommand('copy');
  box.remove();
  button?.focus();
  return isDone;
}
