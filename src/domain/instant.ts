// Instants as text.

/** An instant as PostgreSQL renders it: RFC 3339 in UTC, with up to six decimals and without trailing zeros. */
export function renderInstant(micros: bigint): string {
  // oxlint-disable-next-line no-restricted-globals -- renders a given instant, and reads no clock
  const text = new Date(Number(micros / 1000n)).toISOString();
  const decimals = String(micros % 1_000_000n)
    .padStart(6, '0')
    .replace(/0+$/, '');
  return `${text.slice(0, 19)}${decimals === '' ? '' : `.${decimals}`}Z`;
}
