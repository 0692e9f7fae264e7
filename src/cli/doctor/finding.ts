// What a check of the doctor found, and what to do about it.

export type Finding = {
  /** Such as `settings.fsync`. */
  readonly check: string;
  readonly status: 'ok' | 'warning' | 'problem';
  /** What was found, in a few words. */
  readonly found: string;
  /** A sentence that says what it means and what to do; null: nothing is to be done. */
  readonly advice: string | null;
};

export function ok(check: string, found: string): Finding {
  return { check, status: 'ok', found, advice: null };
}

export function warning(check: string, found: string, advice: string): Finding {
  return { check, status: 'warning', found, advice };
}

export function problem(check: string, found: string, advice: string): Finding {
  return { check, status: 'problem', found, advice };
}

const UNITS = ['bytes', 'kB', 'MB', 'GB', 'TB'];

export function renderBytes(bytes: number): string {
  const power = bytes < 1024 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 1024 ** power;
  return `${value < 10 && power > 0 ? value.toFixed(1) : Math.round(value)} ${UNITS[power]}`;
}

export function renderSeconds(seconds: number): string {
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 2 * 3600) return `${Math.round(seconds / 60)} min`;
  if (seconds < 2 * 86_400) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} d`;
}

export function renderCount(count: number): string {
  return Math.round(count).toLocaleString('en');
}
