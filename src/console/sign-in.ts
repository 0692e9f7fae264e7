// Asks for a key. The tab remembers it until it is closed; it is sent to the service only.
import type { VNode } from 'preact';
import { html } from 'htm/preact';
import { useRef } from 'preact/hooks';

export function SignIn({ wrong, onEnter }: { wrong: boolean; onEnter: (key: string) => void }): VNode {
  const input = useRef<HTMLInputElement>(null);
  const submit = (event: Event): void => {
    event.preventDefault();
    const key = input.current?.value.trim() ?? '';
    if (key !== '') onEnter(key);
  };
  return html`<main class="alone">
    <form class="card sign-in" onSubmit=${submit}>
      <h1><span class="mark" aria-hidden="true">⇄</span> GopherPay</h1>
      <label for="key">Key</label>
      <input
        id="key"
        ref=${input}
        type="password"
        autocomplete="off"
        spellcheck=${false}
        required
        placeholder="gp_…"
        aria-describedby="key-note"
        autofocus
      />
      ${wrong && html`<p class="error" role="alert">The service does not accept this key: it is unknown, expired or revoked.</p>`}
      <button type="submit">Open the console</button>
      <p id="key-note" class="note">
        The operator makes keys: <code>gopherpay keys create</code>. A key with the scopes that end in
        <code>:read</code> shows everything and changes nothing.
      </p>
    </form>
  </main>`;
}
