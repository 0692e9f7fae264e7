// Ordering one transfer, for keys that may, with a trial that does nothing.
import type { VNode } from 'preact';
import { html } from 'htm/preact';
import { Action, inputError, outcomeOf, type Outcome, textOf } from './dialog.ts';
import { amountOf } from './hold-actions.ts';
import { useSession } from './session.ts';
import type { Approval, Transfer } from './wire.ts';

export function NewTransfer({ from, currency }: { from: string; currency: string }): VNode {
  const { api, ledger } = useSession();
  const check = async (form: FormData): Promise<Outcome> => {
    const body = bodyOf(form);
    return outcomeOf(await api.send<Transfer | Approval>('POST', '/transfers?dry_run=true', { ledger, body }), true);
  };
  const run = async (form: FormData, idempotencyKey: string): Promise<Outcome> => {
    const request = { ledger, body: bodyOf(form), idempotencyKey, headers: { Prefer: 'wait=10' } };
    return outcomeOf(await api.send<Transfer | Approval>('POST', '/transfers', request));
  };
  return html`<${Action} label="Order a transfer" title="New transfer" run=${run} check=${check}>
    <label
      >From account <input name="from" required autocomplete="off" spellcheck=${false} defaultValue=${from}
    /></label>
    <label>To account <input name="to" required autocomplete="off" spellcheck=${false} /></label>
    <div class="pair">
      <label>Amount <input name="amount" required inputmode="decimal" autocomplete="off" /></label>
      <label
        >Currency
        <input
          name="currency"
          required
          pattern="[A-Z]{3}"
          maxlength="3"
          title="Three capital letters"
          autocomplete="off"
          defaultValue=${currency}
      /></label>
    </div>
    <label>Description <input name="description" maxlength="500" autocomplete="off" /></label>
  <//>`;
}

function bodyOf(form: FormData): object {
  const currency = textOf(form, 'currency');
  if (!/^[A-Z]{3}$/.test(currency)) throw inputError('Write the currency as three capital letters, such as EUR.');
  const description = textOf(form, 'description');
  return {
    from_account: textOf(form, 'from'),
    to_account: textOf(form, 'to'),
    amount: amountOf(form, currency),
    currency,
    ...(description !== '' && { description }),
  };
}
