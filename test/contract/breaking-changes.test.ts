// Goal: a change of the document that would break a client is found. Method: each kind of change is planted in the
// document of this code.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findBreakingChanges } from '../support/breaking-changes.ts';
import { readOpenApiDocument } from '../support/openapi-document.ts';

const DOCUMENT = readOpenApiDocument();

/** A change: a place in the document, and what is there then. Undefined: nothing. */
type Change = { readonly at: string; readonly to: (value: unknown) => unknown };

const removed = (): undefined => undefined;
const set = (value: unknown) => (): unknown => value;
const withNull = (schema: unknown) => ({ anyOf: [schema, { type: 'null' }] });
/** Changes a list. */
const add = (item: unknown) => (list: unknown) => [...listOf(list), item];
const omit = (item: string) => (list: unknown) => listOf(list).filter((each) => each !== item);
const omitFirst = (list: unknown): unknown => listOf(list).slice(1);
const omitLast = (list: unknown): unknown => listOf(list).slice(0, -1);

function listOf(value: unknown): readonly unknown[] {
  assert.ok(Array.isArray(value));
  return value;
}

const TRANSFER = 'components.schemas.Transfer';
const ORDER = 'components.schemas.NewTransfer';
const POST = 'paths./transfers.post';

const BREAKING: Readonly<Record<string, readonly [change: Change, found: RegExp]>> = {
  'a removed path': [{ at: 'paths./holds', to: removed }, /^POST \/holds: the operation was removed$/],
  'a removed operation': [
    { at: 'paths./holds/{id}.get', to: removed },
    /^GET \/holds\/\{id\}: the operation was removed$/,
  ],
  'another operationId': [{ at: `${POST}.operationId`, to: set('pay') }, /operationId was changed/],
  'another scope': [{ at: `${POST}.x-scope`, to: set('funding:write') }, /another scope is needed/],
  'a removed status': [{ at: `${POST}.responses.202`, to: removed }, /^POST \/transfers 202: the status was removed$/],
  'a removed header': [
    { at: `${POST}.responses.202.headers.Location`, to: removed },
    /the header Location was removed/,
  ],
  'a removed header of a problem': [
    { at: 'components.responses.TooManyRequests.headers.Retry-After', to: removed },
    /429: the header Retry-After was removed/,
  ],
  'a removed media type': [
    { at: 'paths./events.get.responses.200.content.text/event-stream', to: removed },
    /the media type text\/event-stream was removed/,
  ],
  'a removed parameter': [{ at: 'paths./transfers.get.parameters', to: omitFirst }, /was removed/],
  'a new required parameter': [
    {
      at: 'paths./transfers.get.parameters',
      to: add({ name: 'x', in: 'query', required: true }),
    },
    /the query parameter x is required/,
  ],
  'a parameter that becomes required': [
    { at: 'paths./transfers.get.parameters.0.required', to: set(true) },
    /the query parameter account is required/,
  ],
  'a body that becomes required': [
    { at: 'paths./holds/{id}/void.post.requestBody.required', to: set(true) },
    /^POST \/holds\/\{id\}\/void body: it is required$/,
  ],
  'a removed member of an answer': [
    { at: `${TRANSFER}.properties.kind`, to: removed },
    /\/kind: the member was removed/,
  ],
  'a member of an answer that may be missing': [
    { at: `${TRANSFER}.required`, to: omit('kind') },
    /\/kind: the member may be missing/,
  ],
  'another type of a member of an answer': [
    { at: `${TRANSFER}.properties.description`, to: set({ type: 'integer' }) },
    /^Transfer in answers\/description: the type was changed$/,
  ],
  'a member of an answer that may be null': [
    { at: 'components.schemas.Account.properties.account_number', to: withNull },
    /\/account_number: the alternative "null" is new/,
  ],
  'a removed value of an enumeration of answers': [
    { at: 'components.schemas.FailureCode.enum', to: omit('source_closed') },
    /the value "source_closed" was removed/,
  ],
  'a new value of a closed enumeration of answers': [
    { at: 'components.schemas.Account.properties.status.enum', to: add('dormant') },
    /^Account in answers\/status: the value "dormant" is new$/,
  ],
  'an enumeration of answers that becomes any text': [
    { at: 'components.schemas.Account.properties.status', to: set({ type: 'string' }) },
    /^Account in answers\/status: the values were opened$/,
  ],
  'another constant of an answer': [
    { at: `${TRANSFER}.properties.object.const`, to: set('payment') },
    /the value "transfer" was removed/,
  ],
  'a new alternative of an answer': [
    {
      at: 'components.schemas.TransferOrGroup.oneOf',
      to: add({ $ref: '#/components/schemas/Hold' }),
    },
    /the alternative Hold is new/,
  ],
  'a removed alternative of a request': [
    { at: `${POST}.requestBody.content.application/json.schema.anyOf`, to: omitLast },
    /the alternative NewGroup was removed/,
  ],
  'a new required member of a request': [
    { at: `${ORDER}.required`, to: add('currency') },
    /\/currency: the member is required/,
  ],
  'a removed member of a request': [{ at: `${ORDER}.properties.if`, to: removed }, /\/if: the member was removed/],
  'another type of a member of a request': [
    { at: `${ORDER}.properties.amount.type`, to: set('string') },
    /\/amount: the type was changed/,
  ],
  'a narrowed enumeration of a request': [
    { at: 'components.schemas.ApprovalDecision.properties.decision.enum', to: omit('reject') },
    /the value "reject" was removed/,
  ],
  'a new enumeration of a request': [
    { at: 'components.schemas.Currency.enum', to: set(['USD']) },
    /Currency in requests: the values were restricted/,
  ],
  'a stricter bound of a request': [
    { at: `${ORDER}.properties.amount.maximum`, to: set(100) },
    /\/amount: maximum is stricter/,
  ],
  'a stricter pattern of a request': [
    { at: `${ORDER}.properties.from_account.pattern`, to: set('^A') },
    /\/from_account: pattern is stricter/,
  ],
  'another default of a request': [
    { at: 'paths./accounts/{account_number}/entries.get.parameters.4.schema.default', to: set('oldest') },
    /query parameter order: the default was changed/,
  ],
};

const COMPATIBLE: Readonly<Record<string, Change>> = {
  'a new path': { at: 'paths./new', to: set({ get: { operationId: 'new' } }) },
  'a new status': { at: `${POST}.responses.418`, to: set({ description: 'New.' }) },
  'a new optional parameter': {
    at: 'paths./transfers.get.parameters',
    to: add({ name: 'x', in: 'query', required: false }),
  },
  'a new member of an answer': { at: `${TRANSFER}.properties.fee`, to: set({ type: 'integer' }) },
  'a new value of an enumeration of answers that may grow': {
    at: 'components.schemas.FailureCode.enum',
    to: add('fee_too_high'),
  },
  'a new optional member of a request': { at: `${ORDER}.properties.fee`, to: set({ type: 'integer' }) },
  'a looser bound of a request': { at: `${ORDER}.properties.amount.maximum`, to: removed },
  'a member of a request that may be null': { at: `${ORDER}.properties.currency`, to: withNull },
  'another summary': { at: `${POST}.summary`, to: set('Pay.') },
};

for (const [name, [change, found]] of Object.entries(BREAKING)) {
  test(`breaking changes: ${name} is found`, () => {
    const changes = findBreakingChanges(JSON.parse(DOCUMENT), changed(change));
    assert.ok(
      changes.some((each) => found.test(each)),
      `found ${JSON.stringify(changes)}`,
    );
  });
}

for (const [name, change] of Object.entries(COMPATIBLE)) {
  test(`breaking changes: ${name} is not one`, () => {
    assert.deepEqual(findBreakingChanges(JSON.parse(DOCUMENT), changed(change)), []);
  });
}

/** The document with a change. */
function changed({ at, to }: Change): unknown {
  const document: unknown = JSON.parse(DOCUMENT);
  const names = at.split('.');
  const last = names.pop() ?? '';
  const node = names.reduce<object>((parent, name) => {
    const child: unknown = Reflect.get(parent, name);
    assert.ok(typeof child === 'object' && child !== null, `${at} is not in the document`);
    return child;
  }, Object(document));
  const value = to(Reflect.get(node, last));
  assert.notDeepEqual(value, Reflect.get(node, last), `${at} changes nothing`);
  if (value === undefined) Reflect.deleteProperty(node, last);
  else Reflect.set(node, last, value);
  return document;
}
