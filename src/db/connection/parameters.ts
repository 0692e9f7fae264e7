// Values as parameters of statements: what the server reads from them.

/** A value as a parameter. Throws a TypeError if it has no form in SQL. */
export function toParameter(value: unknown): string | Buffer | null {
  if (value === null || value === undefined) return null;
  if (typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean') return String(value);
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  if (Array.isArray(value)) return `{${value.map(toElement).join()}}`;
  throw new TypeError('A parameter is a text, a number, a boolean, bytes, or a list of them.');
}

function toElement(value: unknown): string {
  const parameter = toParameter(value);
  if (parameter === null) return 'NULL';
  const text = typeof parameter === 'string' ? parameter : `\\x${parameter.toString('hex')}`;
  return quoteElement(text);
}

/** A text as an element of PostgreSQL's text of an array. */
export function quoteElement(text: string): string {
  return `"${text.replaceAll(/["\\]/g, '\\$&')}"`;
}
