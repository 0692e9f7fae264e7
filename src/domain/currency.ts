// The number of decimals of each currency, from ISO 4217 (list one, column "Minor unit"). Intl follows daily use
// instead: it has no decimals for the forint, the rupiah and fourteen others, which would be wrong by a factor of 100.

/** A currency as accounts have it. */
export const CURRENCY_FORM = /^[A-Z]{3}$/;

/** The currencies that do not have two digits. */
const MINOR_DIGITS: readonly (readonly [digits: number, currencies: RegExp])[] = [
  [0, /^(BIF|CLP|DJF|GNF|ISK|JPY|KMF|KRW|PYG|RWF|UGX|UYI|VND|VUV|XAF|XOF|XPF)$/],
  // Metals, funds, test codes and no currency: minor units do not apply (ISO 4217).
  [0, /^X(A[GU]|B[A-D]|DR|P[DT]|SU|TS|UA|X{2})$/],
  [3, /^(BHD|IQD|JOD|KWD|LYD|OMR|TND)$/],
  [4, /^(CLF|UYW)$/],
];

/** How many decimal digits an amount of this currency (ISO 4217) has. */
export function minorDigitsOf(currency: string): number {
  return MINOR_DIGITS.find(([, currencies]) => currencies.test(currency))?.[0] ?? 2;
}

/** Renders an amount of minor units in major units, for programs: −123456 US cents are "-1234.56". */
export function renderDecimal(amount: bigint, currency: string): string {
  const digits = minorDigitsOf(currency);
  if (digits === 0) return String(amount);
  const text = String(amount < 0n ? -amount : amount).padStart(digits + 1, '0');
  return `${amount < 0n ? '-' : ''}${text.slice(0, -digits)}.${text.slice(-digits)}`;
}

/** The minor units of an amount that is written as `renderDecimal` writes it; null if it has other decimals. */
export function parseDecimal(text: string, currency: string): bigint | null {
  const [, whole, decimals = ''] = /^(\d+)(?:\.(\d+))?$/.exec(text) ?? [];
  return whole !== undefined && decimals.length === minorDigitsOf(currency) ? BigInt(whole + decimals) : null;
}

/** Renders an amount of minor units for people, without its currency: −123456 US cents are "−1,234.56". */
export function renderMoney(amount: bigint, currency: string): string {
  const digits = minorDigitsOf(currency);
  const text = String(amount < 0n ? -amount : amount).padStart(digits + 1, '0');
  const whole = text.slice(0, text.length - digits).replaceAll(/\B(?=(\d{3})+$)/g, ',');
  const sign = amount < 0n ? '−' : '';
  return `${sign}${whole}${digits === 0 ? '' : `.${text.slice(-digits)}`}`;
}
