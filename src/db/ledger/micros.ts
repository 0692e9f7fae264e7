// Instants as microseconds since 1970, in which records and hashes have them.

/**
 * SQL: the instant of a bigint of microseconds. Seconds and the rest apart: PostgreSQL multiplies an interval by a double, which
 * holds no odd microsecond after the year 2255, where a test clock may stand.
 */
export function instantOf(micros: string): string {
  return `timestamptz 'epoch' + ${micros} / 1000000 * interval '1 second' + ${micros} % 1000000 * interval '1 microsecond'`;
}
