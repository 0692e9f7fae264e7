// Capturing and voiding a hold, for keys that may.
import type { VNode } from 'preact';
import { html } from 'htm/preact';
import { Action, inputError, outcomeOf, type Outcome, textOf } from './dialog.ts';
import { money, parseAmount, plainAmount } from './format.ts';
import { useSession } from './session.ts';
import { type Approval, type Hold, LEDGER_PREFIX, type Transfer } from './wire.ts';

const WAIT = { Prefer: 'wait=10' };

export function HoldActions({ hold, onDone }: { hold: Hold; onDone: () => void }): VNode | null {
  const { api, ledger, may } = useSession();
  const { id, remaining, currency } = hold;
  if (currency === null || !may('holds:write')) return null;
  // The service itself ends a hold for another ledger.
  if (hold.to_account.startsWith(LEDGER_PREFIX)) return null;
  const isOffered = hold.state === 'open';
  const send = async (verb: string, body: object, idempotencyKey: string): Promise<Outcome> =>
    outcomeOf(
      await api.send<Transfer | Approval>('POST', `/holds/${id}/${verb}`, {
        ledger,
        body,
        idempotencyKey,
        headers: WAIT,
      }),
    );
  const capture = async (form: FormData, key: string): Promise<Outcome> =>
    await send('capture', { amount: amountOf(form, currency), final: form.has('final') }, key);
  return html`<span class="actions">
    <${Action}
      label="Capture"
      title="Capture the hold?"
      isDanger
      isOffered=${isOffered}
      run=${capture}
      onDone=${onDone}
    >
      <p>
        Moves held money from <bdi>${hold.from_account}</bdi> to <bdi>${hold.to_account}</bdi>.
        ${money(remaining, currency)} remain.
      </p>
      <${AmountField} amount=${remaining} currency=${currency} />
      <label class="check"><input type="checkbox" name="final" /> Release what remains afterwards</label>
    <//>
    <${Action}
      label="Void"
      title="Void the hold?"
      isDanger
      isOffered=${isOffered}
      run=${async (_form: FormData, key: string) => await send('void', {}, key)}
      onDone=${onDone}
    >
      <p>Releases ${money(remaining, currency)} on <bdi>${hold.from_account}</bdi>. They can no longer be captured.</p>
    <//>
  </span>`;
}

/** An amount of a form, with what it is at first. */
export function AmountField({ amount, currency }: { amount: number | null; currency: string }): VNode {
  return html`<label
    >Amount in ${currency}
    <input
      name="amount"
      required
      inputmode="decimal"
      autocomplete="off"
      defaultValue=${amount === null ? '' : plainAmount(amount, currency)}
  /></label>`;
}

/** The minor units of the amount in a form. Throws an ApiError for the person to read. */
export function amountOf(form: FormData, currency: string): number {
  const amount = parseAmount(textOf(form, 'amount'), currency);
  if (amount === null) {
    throw inputError(`Write the amount in ${currency} with a point, and no more decimals than the currency has.`);
  }
  return amount;
}
