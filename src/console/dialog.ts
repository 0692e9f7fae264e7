// A button that changes something, with a dialog that asks first, and shows what came of it.
import type { ComponentChildren, VNode } from 'preact';
import { html } from 'htm/preact';
import { useEffect, useId, useRef, useState } from 'preact/hooks';
import { ApiError } from './api.ts';
import { explainFailure } from './failures.ts';
import { ErrorNote, Go } from './ui.ts';
import type { Approval, Transfer } from './wire.ts';

export type Outcome = {
  readonly text: string;
  readonly isGood: boolean;
  /** A transfer to look at. */
  readonly transferId?: string;
};

export type ActionProps = {
  /** On the button, and on the one that confirms. */
  readonly label: string;
  readonly title: string;
  readonly isDanger?: boolean;
  /** What is about to happen, and the fields of the form. */
  readonly children?: ComponentChildren;
  /** Does it. The key is the same for every attempt of one dialog, so that nothing is done twice. */
  readonly run: (form: FormData, idempotencyKey: string) => Promise<Outcome>;
  /** Tries it without doing it. */
  readonly check?: (form: FormData) => Promise<Outcome>;
  readonly onDone?: () => void;
  /** Whether there is a button now. An open dialog stays, so that its result is seen. */
  readonly isOffered?: boolean;
};

export function Action({ isOffered = true, ...props }: ActionProps): VNode {
  // What the dialog was opened with: the page below may be read again meanwhile, and change.
  const [opened, setOpened] = useState<ActionProps | null>(null);
  // It stays until the outcome is known, also if the dialog is closed meanwhile.
  const key = useRef(newKey());
  return html`${
    isOffered &&
    html`<button type="button" class=${props.isDanger ? 'quiet' : ''} onClick=${() => setOpened(props)}>
      ${props.label} …
    </button>`
  }
  ${opened && html`<${ActionDialog} ...${opened} idempotencyKey=${key} onClose=${() => setOpened(null)} />`}`;
}

function ActionDialog({
  label,
  title,
  isDanger,
  children,
  run,
  check,
  onDone,
  idempotencyKey: key,
  onClose,
}: ActionProps & { idempotencyKey: { current: string }; onClose: () => void }): VNode {
  const box = useRef<HTMLDialogElement>(null);
  const form = useRef<HTMLFormElement>(null);
  const id = useId();
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState<ApiError | null>(null);
  const [outcome, setOutcome] = useState<Outcome | null>(null);
  const [isDone, setDone] = useState(false);
  useEffect(() => box.current?.showModal(), []);
  const attempt = async (work: (form: FormData) => Promise<Outcome>, isFinal: boolean): Promise<void> => {
    if (!form.current || isBusy || !form.current.reportValidity()) return;
    setBusy(true);
    setError(null);
    setOutcome(null);
    try {
      setOutcome(await work(new FormData(form.current)));
      if (isFinal) {
        key.current = newKey();
        setDone(true);
        onDone?.();
      }
    } catch (error) {
      setError(error instanceof ApiError ? error : new ApiError(0, { code: 'error', title: String(error) }));
    } finally {
      setBusy(false);
    }
  };
  const submit = (event: Event): void => {
    event.preventDefault();
    void attempt(async (form) => await run(form, key.current), true);
  };
  const close = (): void => box.current?.close();
  // What was sent cannot be taken back, so the dialog stays until it is answered.
  const keepWhileBusy = (event: Event): void => {
    if (isBusy) event.preventDefault();
  };
  return html`<dialog
    ref=${box}
    aria-labelledby=${id}
    closedby=${isBusy ? 'none' : 'closerequest'}
    onCancel=${keepWhileBusy}
    onClose=${onClose}
  >
    <form ref=${form} class="dialog" onSubmit=${submit}>
      <h2 id=${id} tabindex="-1" autofocus>${title}</h2>
      <fieldset class="stack" disabled=${isBusy || isDone}>${children}</fieldset>
      <${Result} outcome=${outcome} error=${error} />
      <div class="actions">
        ${
          isDone
            ? html`<button type="button" onClick=${close}>Close</button>`
            : html`<button type="submit" class=${isDanger ? 'danger' : ''} disabled=${isBusy}>${label}</button>
                ${check && html`<button type="button" class="quiet" disabled=${isBusy} onClick=${() => void attempt(check, false)}>Try without doing it</button>`}
                <button type="button" class="quiet" disabled=${isBusy} onClick=${close}>Cancel</button>`
        }
      </div>
    </form>
  </dialog>`;
}

/** What came of it, or why it was refused. */
function Result({ outcome, error }: { outcome: Outcome | null; error: ApiError | null }): VNode {
  return html`<div role="status">
      ${
        outcome &&
        html`<p class=${outcome.isGood ? 'success' : 'warning'}>
          ${outcome.text}
          ${outcome.transferId !== undefined && html` <${Go} to=${['transfers', outcome.transferId]}>See its story<//>`}
        </p>`
      }
    </div>
    ${error && html`<${ErrorNote} error=${error} />`}
    ${
      error &&
      isUnknown(error) &&
      html`<p class="warning">It is not known whether this was done. Press the button again: it is not done twice.</p>`
    }`;
}

/** Whether the request may have been done although it was not answered. */
function isUnknown({ status }: ApiError): boolean {
  return status === 0 || status >= 500;
}

/** crypto.randomUUID needs https, which a service in a private network may not have. */
function newKey(): string {
  return `console-${[...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('')}`;
}

/** What came of an ordered transfer. */
export function outcomeOf(answer: Transfer | Approval, isTrial = false): Outcome {
  if ('approval_id' in answer) {
    return { isGood: true, text: `It waits for the approval of a second key: ${answer.approval_id}.` };
  }
  const link = isTrial ? {} : { transferId: answer.id };
  const { failure_code: code } = answer;
  if (code !== null) {
    const verb = isTrial ? 'It would be refused' : 'It was refused';
    return { ...link, isGood: false, text: `${verb}: ${explainFailure(code)} (${code})` };
  }
  if (isTrial) return { isGood: true, text: 'It would be completed. Nothing was done yet.' };
  if (answer.status === 'pending') return { ...link, isGood: true, text: 'It was accepted, and is not final yet.' };
  return { ...link, isGood: true, text: 'It is completed.' };
}

/** A refusal of this page: what the person typed cannot be sent. */
export function inputError(title: string): ApiError {
  return new ApiError(422, { code: 'input', title });
}

/** The text of a field of a form; empty if there is none. */
export function textOf(form: FormData, name: string): string {
  const value = form.get(name);
  return typeof value === 'string' ? value.trim() : '';
}
