// Goal: the random programs are worth running: on the model alone, they reach every rule and every kind of movement.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { FAILURE_CODES } from '../../src/domain/transfer.ts';
import { type Account, ask, type Books, expire, type Request } from './model.ts';
import { resolve, type Step, steps } from './program.ts';

/** Only a clock, only books at their bounds, and only a broken service lead to these. */
const ELSEWHERE = ['hold_expired', 'balance_out_of_bounds', 'cannot_be_settled'];
const REFUSALS = [
  'hold_not_found',
  'transfer_not_found',
  'amount_not_positive',
  'amount_unresolved',
  'same_account',
  'idempotency_key_reused',
  'account_closed',
  'account_not_empty',
  'overdraft_in_use',
];
const KINDS = ['transfer', 'hold', 'capture', 'void', 'reversal', 'group'];
const SUCCESSES = [
  ...KINDS,
  'split',
  'conversion',
  'dry run',
  'replay',
  'change',
  'close',
  'reversal of a capture',
  'atomic failure',
];

function openBooks(): Books {
  const account = (currency: string, balance: bigint, limit: bigint): Account => ({
    currency,
    status: 'open',
    balance,
    held: 0n,
    limit,
    entries: 1n,
  });
  return {
    accounts: new Map([
      ['a', account('EUR', 1000n, 0n)],
      ['b', account('EUR', 300n, 200n)],
      ['c', account('EUR', 0n, 0n)],
      ['d', account('JPY', 500n, 0n)],
      ['e', account('JPY', 0n, 100n)],
      ['@external EUR', account('EUR', -1300n, 0n)],
      ['@external JPY', account('JPY', -500n, 0n)],
    ]),
    holds: new Map(),
    movements: new Map(),
    keys: new Map(),
  };
}

function run(program: readonly Step[], reached: Set<string>): void {
  const books = openBooks();
  const asked: Request[] = [];
  for (const [index, step] of program.entries()) {
    const sent = resolve(step, books, `${index}`, asked);
    if (!sent) continue;
    asked.push(sent);
    for (const each of reachedBy(sent, books)) reached.add(each);
    const name = sent.command.name;
    if (step.kind === 'mortalHold' && books.holds.has(name)) expire(books, name);
  }
}

/** Executes a step, and describes the outcome. */
function reachedBy(sent: Request, books: Books): string[] {
  const { command } = sent;
  const answer = ask(books, sent);
  if (answer.says === 'refused') return [answer.code];
  if (answer.says !== 'ended') return [command.type];
  const codes = answer.movements.flatMap(({ code }) => code ?? []);
  if (codes.length > 0) return [...codes, ...(codes.includes('group_failed') ? ['atomic failure'] : [])];
  const undone = command.type === 'reversal' ? books.movements.get(command.original)?.kind : undefined;
  return [
    command.type,
    ...(command.type === 'group' && command.total !== null ? ['split'] : []),
    ...(command.type === 'group' && command.legs.some(({ part }) => typeof part === 'object' && 'rate' in part)
      ? ['conversion']
      : []),
    ...(sent.dryRun ? ['dry run'] : []),
    ...(answer.replayed ? ['replay'] : []),
    ...(undone === 'capture' ? ['reversal of a capture'] : []),
  ];
}

test('programs: random programs reach every rule, every refusal and every kind of success', () => {
  const reached = new Set<string>();
  for (const program of fc.sample(steps({ min: 15, max: 40 }), { seed: 1, numRuns: 400 })) run(program, reached);
  const rules = FAILURE_CODES.filter((code) => !ELSEWHERE.includes(code));
  assert.deepEqual([...reached].sort(), [...rules, ...REFUSALS, ...SUCCESSES].sort());
});
