// The last row of each ledger that this browser has verified. A journal that is rewritten later no longer fits it.
import type { Position } from './verify.ts';

/** Services behind one origin differ by the folder of the page. */
function nameOf(ledger: string): string {
  return `gopherpay.journal:${new URL('.', document.baseURI).pathname}:${ledger}`;
}

export function rememberedPosition(ledger: string): Position | null {
  const [number = '', hash = ''] = (localStorage.getItem(nameOf(ledger)) ?? '').split(' ');
  return /^\d+$/.test(number) && /^[0-9a-f]{64}$/.test(hash) ? { number: Number(number), hash } : null;
}

/** Null forgets it. */
export function rememberPosition(ledger: string, position: Position | null): void {
  if (position === null) localStorage.removeItem(nameOf(ledger));
  else localStorage.setItem(nameOf(ledger), `${position.number} ${position.hash}`);
}
