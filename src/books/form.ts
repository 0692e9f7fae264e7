// The form of portable books: which members each kind of line has, in which order. A record's members are those that the
// journal's digest covers, in the order of the record form; docs/BOOKS.md describes them.

/** What a member may have as its value. `schema` says the same in JSON Schema. */
export type Member<Value> = {
  readonly accepts: (value: unknown) => value is Value;
  readonly schema: Readonly<Record<string, unknown>>;
  readonly optional: boolean;
};

const SAFE = Number.MAX_SAFE_INTEGER;

function text(pattern?: RegExp): Member<string> {
  return {
    // A digest covers UTF-8, in which a lone surrogate has no form. A control character could end a field of a record.
    accepts: (value): value is string =>
      typeof value === 'string' &&
      (pattern === undefined
        ? // oxlint-disable-next-line no-control-regex -- it is what is refused
          value !== '' && value.isWellFormed() && !/[\u001e\u001f]/.test(value)
        : pattern.test(value)),
    schema: pattern === undefined ? { type: 'string', minLength: 1 } : { type: 'string', pattern: pattern.source },
    optional: false,
  };
}

function integer(min = -SAFE, max = SAFE): Member<number> {
  return {
    accepts: (value): value is number =>
      typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max,
    schema: { type: 'integer', minimum: min, maximum: max },
    optional: false,
  };
}

function oneOf<Word extends string>(...words: readonly Word[]): Member<Word> {
  const all: ReadonlySet<unknown> = new Set(words);
  return { accepts: (value): value is Word => all.has(value), schema: { enum: words }, optional: false };
}

function only<Value extends string | number>(constant: Value): Member<Value> {
  return { accepts: (value): value is Value => value === constant, schema: { const: constant }, optional: false };
}

/** A member that is left out if the field is absent. */
function optional<Value>({ accepts, schema }: Member<Value>): Member<Value | undefined> {
  return {
    accepts: (value): value is Value | undefined => value === undefined || accepts(value),
    schema,
    optional: true,
  };
}

const boolean: Member<boolean> = {
  accepts: (value) => typeof value === 'boolean',
  schema: { type: 'boolean' },
  optional: false,
};

const currencies: Member<readonly string[]> = {
  accepts: (value): value is readonly string[] => Array.isArray(value) && value.every((each) => currency.accepts(each)),
  schema: { type: 'array', items: { type: 'string', pattern: '^[A-Z]{3}$' } },
  optional: false,
};

const uuid = text(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
const hash = text(/^[0-9a-f]{64}$/);
const hex = text(/^([0-9a-f]{2})+$/);
const account = text(/^([A-Za-z0-9._-]{1,34}|@external|@ledger:[a-z0-9][a-z0-9_-]{0,62})$/);
const currency = text(/^[A-Z]{3}$/);
const rate = text(/^[A-Z]{3}\/[A-Z]{3} \d{1,9}(\.\d{1,12})?$/);
const remoteAccount = text(/^[A-Za-z0-9._-]{1,34}$/);
const instant = text(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
/** Microseconds since 1970, in UTC. */
const micros = integer();
const count = integer(0);
const number = integer(1);

/** The members of each kind of line, besides `type`, in their order. */
export const FORMS = {
  header: {
    format: only('gopherpay-books'),
    version: only(1),
    ledger: text(/^[a-z0-9][a-z0-9_-]{0,62}$/),
    ledger_id: integer(1, 2 ** 31 - 1),
    ledger_created_at: micros,
    clock_start: optional(micros),
    approval_above: optional(count),
    closed_until: optional(micros),
    currencies,
    since: count,
    until: count,
    previous_hash: hash,
    hash,
    made_at: instant,
    software: text(),
  },
  change: {
    account_number: account,
    currency,
    change_number: number,
    seal: hash,
    ordered_by: optional(text()),
    approved_by: optional(text()),
  },
  act: {
    id: uuid,
    action: text(),
    actor: optional(text()),
    subject: optional(text()),
    details: optional(text()),
    at: micros,
  },
  transfer: {
    id: uuid,
    from_account: text(),
    to_account: text(),
    amount: optional(number),
    currency: optional(currency),
    status: oneOf('completed', 'failed'),
    failure_code: optional(text()),
    request_id: optional(text()),
    description: optional(text()),
    metadata: optional(text()),
    created_at: micros,
    from_entry_number: optional(number),
    from_balance: optional(integer()),
    to_entry_number: optional(number),
    to_balance: optional(integer()),
    kind: oneOf('transfer', 'hold', 'capture', 'void', 'expiry', 'reversal'),
    parent_id: optional(uuid),
    group_id: optional(uuid),
    group_position: optional(count),
    atomic: optional(boolean),
    final_capture: optional(boolean),
    expires_in: optional(number),
    if_from_entry_number: optional(integer()),
    if_min_available_after: optional(integer()),
    ordered_by: optional(text()),
    approved_by: optional(text()),
    rate: optional(rate),
    remote_account: optional(remoteAccount),
  },
  journal: {
    number,
    settled_at: micros,
    transfer_count: count,
    intake_count: count,
    change_count: count,
    digest: hash,
    previous_hash: hash,
    hash,
  },
  key: {
    key: text(),
    transfer_id: optional(uuid),
    account_number: optional(account),
    clock: optional(micros),
    fingerprint: hash,
    personal_fingerprint: optional(hash),
    created_at: micros,
  },
  account: {
    account_number: account,
    currency,
    status: optional(oneOf('open', 'receive_only', 'frozen', 'closed')),
    personal_data: optional(hex),
    overdraft_limit: optional(count),
    metadata: optional(text()),
    created_at: optional(micros),
    change_number: number,
    balance: integer(),
    held: count,
    entry_count: count,
  },
  trailer: {
    rows: count,
    transfers: count,
    changes: count,
    acts: count,
    keys: count,
    accounts: count,
    number: count,
    hash,
    sha256: hash,
  },
} as const;

export type LineType = keyof typeof FORMS;

type ValueOf<Of> = Of extends Member<infer Value> ? Value : never;
type Members<Type extends LineType> = (typeof FORMS)[Type];

/** The members that a line must have, and those that it may have. */
type LineOf<Type extends LineType> = { readonly type: Type } & {
  readonly [Name in keyof Members<Type> as undefined extends ValueOf<Members<Type>[Name]> ? never : Name]: ValueOf<
    Members<Type>[Name]
  >;
} & {
  readonly [Name in keyof Members<Type> as undefined extends ValueOf<Members<Type>[Name]> ? Name : never]?: ValueOf<
    Members<Type>[Name]
  >;
};

export type Line<Type extends LineType> = { readonly [Each in Type]: LineOf<Each> }[Type];
export type AnyLine = Line<LineType>;

/** A line that is not in the form. Its message completes the sentence "The line …". */
export class FormError extends Error {}

/**
 * Reads a line in its only form: that of JSON.stringify, with the members in their order. So a duplicate member, a number
 * that JavaScript would round, and other ways to write the same are refused.
 */
export function parseLine(line: string): AnyLine {
  let value: unknown;
  let rendered: string;
  try {
    value = JSON.parse(line);
    rendered = JSON.stringify(value);
  } catch {
    // Rendering fails if the nesting is too deep for the stack.
    throw new FormError('is not JSON, or nested deeply');
  }
  if (!isObject(value)) throw new FormError('is not a JSON object');
  if (rendered !== line) {
    throw new FormError(
      'is not in the one form of JSON that is allowed: no spaces, no duplicate members, exact integers',
    );
  }
  if (!hasForm(value)) throw new FormError('has no known "type"');
  return value;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The members of each kind of line, as a list. */
const LISTED = new Map<unknown, readonly (readonly [string, Member<unknown>])[]>(
  Object.entries(FORMS).map(([type, members]) => [type, Object.entries<Member<unknown>>(members)]),
);

/** Throws an error that names the member that is wrong. */
function hasForm(value: Record<string, unknown>): value is AnyLine {
  const members = LISTED.get(value['type']);
  if (members === undefined) return false;
  const names = Object.keys(value);
  let next = 1;
  if (names[0] !== 'type') throw new FormError('does not begin with its "type"');
  for (const [name, member] of members) {
    if (names[next] !== name) {
      if (member.optional) continue;
      throw new FormError(`has no "${name}" in its place`);
    }
    next += 1;
    if (value[name] === undefined || !member.accepts(value[name])) throw new FormError(`has a wrong "${name}"`);
  }
  if (next < names.length)
    throw new FormError(`has the member ${JSON.stringify(names[next])}, which does not belong there`);
  return true;
}

/** Whether the value of a member is written as it is in the record form, and not as a text in quotes. */
function isBare({ schema }: Member<unknown>): boolean {
  return schema['type'] === 'integer' || schema['type'] === 'boolean';
}

const WRITTEN = new Map<LineType, readonly { readonly prefix: string; readonly bare: boolean }[]>();

/** A line with these values of its members, in their order; those that are empty or null are left out. */
export function renderLine(type: LineType, values: readonly (string | null)[]): string {
  let members = WRITTEN.get(type);
  if (members === undefined) {
    const listed: [string, Member<unknown>][] = Object.entries(FORMS[type]);
    members = listed.map(([name, member]) => ({ prefix: `,"${name}":`, bare: isBare(member) }));
    WRITTEN.set(type, members);
  }
  let line = `{"type":"${type}"`;
  for (const [index, value] of values.entries()) {
    const member = members[index];
    if (value === null || value === '') continue;
    if (member === undefined) throw new RangeError(`A ${type} has more fields than the form.`);
    line += member.prefix + (member.bare ? value : JSON.stringify(value));
  }
  return `${line}}\n`;
}

/** The names of the members of a kind of line, in their order. */
export function namesOf(type: LineType): readonly string[] {
  return Object.keys(FORMS[type]);
}
