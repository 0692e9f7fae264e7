// Validation messages for bodies, query parameters, settings and command-line options. Importing this file replaces the
// messages of zod. A message begins with a verb: the code that reports it puts the name of the member, setting or
// option before it.
import { isIP } from 'node:net';
import { z } from 'zod';

const TYPES: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'a number',
  int: 'an integer',
  boolean: 'true or false',
  array: 'an array',
  object: 'an object',
  record: 'an object',
};

const FORMATS: Readonly<Record<string, string>> = {
  uuid: 'a UUID',
  date: 'a date such as 2026-01-31',
  currency_code: 'an ISO 4217 currency code such as USD',
};

/** The message of a schema whose values are `what`, such as "an integer from 1 to 9". */
export function mustBe(what: string): (issue: { readonly input?: unknown }) => string {
  return ({ input }) => (input === undefined ? `is missing; it must be ${what}` : `must be ${what}`);
}

/** The message for a schema that has none of its own. */
function explain(issue: z.core.$ZodRawIssue): string {
  switch (issue.code) {
    case 'invalid_type':
      return mustBe(TYPES[issue.expected] ?? issue.expected)(issue);
    case 'invalid_value':
      return mustBe(alternatives(issue.values.map(String)))(issue);
    case 'invalid_format':
      return mustBe(FORMATS[issue.format] ?? 'of another form')(issue);
    case 'too_small':
      return `must ${bound(issue.origin, `at least ${issue.minimum}`)}`;
    case 'too_big':
      return `must ${bound(issue.origin, `at most ${issue.maximum}`)}`;
    default:
      return 'is not valid';
  }
}

function bound(origin: string, limit: string): string {
  if (origin === 'string') return `have ${limit} characters`;
  return origin === 'array' ? `have ${limit} elements` : `be ${limit}`;
}

function alternatives(values: readonly string[]): string {
  return values.length < 2 ? values.join() : `${values.slice(0, -1).join(', ')} or ${values.at(-1)}`;
}

z.config({ customError: explain });

/** An instant in a request. PostgreSQL has no year 0, and no offset of 16 hours or more. */
export const instant = z.iso
  .datetime({ offset: true, error: mustBe('an instant such as 2026-01-31T12:00:00Z') })
  .max(40)
  .regex(/^(?!0000).*(?:Z|[+-](?:0\d|1[0-5]):\d\d)$/);

const UUID_FORM = z.regexes.uuid();

/** Whether a text is a UUID, in any case. */
export function isUuid(text: string): boolean {
  return UUID_FORM.test(text);
}

/** Whether a text is an address, or one with the length of a prefix. */
export function isNetwork(text: string): boolean {
  const [address = '', prefix, ...rest] = text.split('/');
  const bits = { 4: 32, 6: 128 }[isIP(address)];
  if (bits === undefined || rest.length > 0) return false;
  return prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= bits);
}

/** Whether a text is an origin in the form in which browsers send it: no path, no default port, in lower case. */
export function isOrigin(text: string): boolean {
  return /^https?:\/\/[a-z0-9.:[\]-]+$/.test(text) && URL.canParse(text) && new URL(text).origin === text;
}
