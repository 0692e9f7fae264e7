// Goal: transfers reach a thread as they were accepted. Method: random transfers go into columns and back.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { fromColumns, type QueuedTransfer, selectColumns, toColumns } from '../../src/domain/job.ts';
import { renderJsonb } from '../../src/domain/record.ts';
import { type NewTransfer, TRANSFER_KINDS } from '../../src/domain/transfer.ts';
import { newTransfer } from '../support/jobs.ts';
import { checkProperty } from '../support/property.ts';

const JOB_MICROS = 1_795_341_599_999_999n;

const perhaps = <Value>(value: fc.Arbitrary<Value>) => fc.option(value, { nil: null, freq: 2 });
const amount = fc.bigInt({ min: 1n, max: 2n ** 53n - 1n });
const text = fc.string({ minLength: 1, maxLength: 5, unit: 'grapheme' });
const conditions = fc
  .tuple(perhaps(fc.bigInt({ min: 0n, max: 9n })), perhaps(fc.bigInt({ min: -9n, max: 9n })))
  .map(([fromEntryNumber, minAvailableAfter]) =>
    fromEntryNumber === null && minAvailableAfter === null ? null : { fromEntryNumber, minAvailableAfter },
  );
const transfer: fc.Arbitrary<NewTransfer> = fc
  .record({
    id: fc.uuid(),
    kind: fc.constantFrom(...TRANSFER_KINDS),
    fromAccount: text,
    toAccount: text,
    amount: perhaps(amount),
    currency: perhaps(fc.constantFrom('USD', 'EUR')),
    parentId: perhaps(fc.uuid()),
    group: perhaps(
      fc.record({ id: fc.uuid(), position: fc.nat({ max: 9 }), atomic: fc.boolean() }, { noNullPrototype: true }),
    ),
    conditions,
    finalCapture: fc.boolean(),
    expiresIn: perhaps(fc.nat()),
    requestId: perhaps(text),
    remoteAccount: perhaps(text),
    description: perhaps(text),
    metadata: perhaps(fc.dictionary(text, text, { maxKeys: 3, noNullPrototype: true })),
  })
  // Only a capture can be final.
  .map((fields) => newTransfer({ ...fields, finalCapture: fields.kind === 'capture' && fields.finalCapture }));
const queued: fc.Arbitrary<QueuedTransfer> = fc.record({ transfer, storedAtMicros: perhaps(amount) });

/** What a thread is to judge and write. */
function locked({ transfer, storedAtMicros }: QueuedTransfer) {
  const { metadata, ...fields } = transfer;
  return {
    ...fields,
    metadataText: metadata && renderJsonb(metadata),
    createdAtMicros: storedAtMicros ?? JOB_MICROS,
  };
}

test('job: transfers survive the round trip through columns, with the time of the job where none was stored', (t) => {
  const property = fc.property(fc.array(queued, { maxLength: 6 }), (all) => {
    // A job crosses into a thread by the structured clone.
    const columns = structuredClone(toColumns(all));
    assert.deepEqual(fromColumns(columns, JOB_MICROS), all.map(locked));
  });
  checkProperty(t, property, 500);
});

test('job: selected columns are those of the selected transfers', (t) => {
  const property = fc.property(fc.array(fc.tuple(queued, fc.boolean()), { maxLength: 6 }), (all) => {
    const columns = toColumns(all.map(([each]) => each));
    const selected = selectColumns(columns, (index) => all[index]?.[1] ?? false);
    const kept = all.flatMap(([each, isKept]) => (isKept ? [each] : []));
    assert.deepEqual(fromColumns(selected, JOB_MICROS), kept.map(locked));
  });
  checkProperty(t, property, 500);
});

test('job: a field that no transfer has makes no column', () => {
  const columns = toColumns([{ transfer: newTransfer(), storedAtMicros: null }]);
  const { id, fromAccount, toAccount, amount, ...others } = columns;
  assert.deepEqual([id.length, fromAccount, toAccount, amount], [1, ['ANN'], ['BOB'], [1n]]);
  assert.deepEqual(new Set(Object.values(others)), new Set([null]));
});
