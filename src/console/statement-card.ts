// Statements: a month of an account as a file. It is read with the key and handed to the browser to save.
import type { VNode } from 'preact';
import { html } from 'htm/preact';
import { useRef, useState } from 'preact/hooks';
import { ApiError } from './api.ts';
import { inputError } from './dialog.ts';
import { useSession } from './session.ts';
import { Card, ErrorNote } from './ui.ts';

const FORMATS = [
  { format: 'html', name: 'Page to print' },
  { format: 'csv', name: 'CSV' },
  { format: 'json', name: 'JSON' },
] as const;

export function StatementCard({ number, currency }: { number: string; currency: string }): VNode {
  const { api, ledger } = useSession();
  const month = useRef<HTMLInputElement>(null);
  const [error, setError] = useState<ApiError | null>(null);
  const [saved, setSaved] = useState<string | null>(null);
  const save = async (format: string): Promise<void> => {
    const value = month.current?.value ?? '';
    setError(null);
    setSaved(null);
    try {
      if (!/^\d{4}-\d{2}$/.test(value)) throw inputError('Write the month as YYYY-MM, such as 2026-11.');
      const path = `/accounts/${encodeURIComponent(number)}/statements/${value}`;
      const name = `${number.replace('@', '')}-${currency}-${value}.${format}`;
      saveFile(await api.file(path, { ledger, query: { currency, format } }), name);
      setSaved(name);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      setError(error);
    }
  };
  return html`<${Card} title="Statement">
    <div class="stack">
      <div class="actions">
        <label class="month"
          >Month (UTC)
          <input ref=${month} type="month" placeholder="YYYY-MM" defaultValue=${new Date().toISOString().slice(0, 7)}
        /></label>
        ${FORMATS.map(
          ({ format, name }) =>
            html`<button key=${format} type="button" class="quiet" onClick=${() => void save(format)}>
              Save as ${name}
            </button>`,
        )}
      </div>
      <p role="status" class="note">${saved === null ? '' : `Saved as ${saved}.`}</p>
      ${error && html`<${ErrorNote} error=${error} />`}
    </div>
  <//>`;
}

function saveFile(file: Blob, name: string): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(file);
  link.download = name;
  link.click();
  // The browser has the file by then, or reads it from its own reference.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
