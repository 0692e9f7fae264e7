// The result of a real load test with stages: below what the service can do, beyond it, and below it again.
import { resultForm } from '../../src/load/result.ts';
import example from './example.json' with { type: 'json' };

export const exampleResult = resultForm.parse(example);
