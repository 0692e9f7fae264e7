import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { z } from 'zod';
import { resultForm } from '../../src/load/result.ts';

const SCHEMA = join(dirname(dirname(import.meta.dirname)), 'docs/load-result.schema.json');

test('load: docs/load-result.schema.json is the schema of the result; --test-update-snapshots writes it', (t) => {
  const schema = { title: 'The result of gopherpay load', ...z.toJSONSchema(resultForm) };
  t.assert.fileSnapshot(schema, SCHEMA, { serializers: [(value) => JSON.stringify(value, null, 2)] });
});
