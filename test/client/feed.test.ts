// The reader of the feed, on connections that the test makes and breaks: it resumes after the last event, and detects a
// journal whose rows do not follow each other.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  ChainError,
  ConnectionError,
  type Problem,
  ProblemError,
  type ProblemCode,
} from '../../clients/typescript/src/errors.ts';
import { Chain, type Connect, follow, type FollowOptions, type Position } from '../../clients/typescript/src/feed.ts';
import { CLOCK } from '../../clients/typescript/src/retry.ts';

type Row = { journal_number: number; previous_hash: string; hash: string };
/** How a connection ends after its text. */
type Ending = 'end' | 'cut' | 'silence';

const hashOf = (number: number): string => (number === 0 ? '0' : String(number % 10)).repeat(64);
const row = (number: number, more: Partial<Row> = {}): Row => ({
  journal_number: number,
  previous_hash: hashOf(number - 1),
  hash: hashOf(number),
  ...more,
});
const render = (event: Row): string =>
  `id: ${event.journal_number}\nevent: settled\ndata: ${JSON.stringify(event)}\n\n`;
const positionOf = (number: number): Position => ({ journal_number: number, hash: hashOf(number) });

/** Connections with these texts, each in pieces of `pieceSize`. `asked` is after which number each was opened. */
function connections(script: readonly { text: string; ending: Ending; pieceSize?: number }[]): {
  connect: Connect;
  asked: number[];
} {
  const asked: number[] = [];
  const connect: Connect = async (after, signal) => {
    const { text, ending, pieceSize = 1000 } = script[asked.length] ?? { text: '', ending: 'silence' };
    asked.push(after);
    const bytes = new TextEncoder().encode(text);
    let sent = 0;
    return new Response(
      new ReadableStream({
        start: (controller) => signal.addEventListener('abort', () => controller.error(signal.reason)),
        pull: async (controller) => {
          if (sent < bytes.length) {
            controller.enqueue(bytes.slice(sent, sent + pieceSize));
            sent += pieceSize;
          } else if (ending === 'end') controller.close();
          else if (ending === 'cut') controller.error(new TypeError('terminated'));
        },
      }),
    );
  };
  return { connect, asked };
}

/** Reads events until there are as many. Pauses take no time. */
async function read(
  connect: Connect,
  count: number,
  { after = 0, filtered = false, ...options }: FollowOptions & { after?: Position | number; filtered?: boolean } = {},
): Promise<number[]> {
  const numbers: number[] = [];
  const clock = { ...CLOCK, sleep: async () => {} };
  for await (const event of follow(connect, new Chain(after, { filtered }), options, clock)) {
    numbers.push(event.journal_number);
    if (numbers.length === count) break;
  }
  return numbers;
}

test('client feed: an event that is cut off at any byte is read again, and none is read twice', async () => {
  const whole = [1, 2, 3].map((number) => render(row(number))).join('');
  const second = render(row(1)).length + render(row(2)).length;
  for (let cut = 0; cut <= second; cut += 1) {
    const rest = [3, 4].map((number) => render(row(number))).join('');
    const seen = [1, 2].filter((number) => cut >= number * render(row(1)).length);
    const again = [1, 2].filter((number) => !seen.includes(number));
    const { connect, asked } = connections([
      { text: whole.slice(0, cut), ending: 'cut', pieceSize: 7 },
      { text: again.map((number) => render(row(number))).join('') + rest, ending: 'silence' },
    ]);
    assert.deepEqual(await read(connect, 4), [1, 2, 3, 4]);
    assert.deepEqual(asked, [0, seen.length]);
  }
});

test('client feed: a stream that the service ends is opened again', async () => {
  const { connect, asked } = connections([
    { text: render(row(1)), ending: 'end' },
    { text: ': nothing new\n\n', ending: 'end' },
    { text: render(row(2)), ending: 'end' },
  ]);
  assert.deepEqual(await read(connect, 2), [1, 2]);
  assert.deepEqual(asked, [0, 1, 1]);
});

test('client feed: a silent connection is given up, a slow caller is not', async () => {
  const { connect, asked } = connections([
    { text: [1, 2, 3].map((number) => render(row(number))).join(''), ending: 'silence' },
    { text: render(row(4)), ending: 'silence' },
  ]);
  const numbers: number[] = [];
  for await (const event of follow(connect, new Chain(0), { silenceTimeoutMs: 20 }, { ...CLOCK, random: () => 0 })) {
    numbers.push(event.journal_number);
    // Longer than the service may be silent.
    if (event.journal_number === 1) await new Promise((resolve) => setTimeout(resolve, 60));
    if (event.journal_number === 4) break;
  }
  assert.deepEqual(
    [numbers, asked],
    [
      [1, 2, 3, 4],
      [0, 3],
    ],
  );
});

test('client feed: a temporary refusal is followed by another connection, a final one is thrown', async () => {
  const refuse = (code: ProblemCode, status: number): ProblemError => {
    const problem: Problem = { type: '', title: '', status, code, detail: '', request_id: '' };
    return new ProblemError(problem, null);
  };
  const failures = [refuse('too_many_streams', 503), new ConnectionError('refused'), refuse('unauthorized', 401)];
  let attempts = 0;
  const connect = async (): Promise<Response> => {
    attempts += 1;
    throw failures[attempts - 1] ?? new Error('no more');
  };
  await assert.rejects(read(connect, 1), (error) => error === failures[2]);
  assert.equal(attempts, 3);
});

test('client feed: the signal ends the reader, whose reason is thrown', async () => {
  const end = new AbortController();
  const reason = new Error('enough');
  const { connect } = connections([{ text: render(row(1)), ending: 'silence' }]);
  const reading = read(connect, 2, { signal: end.signal });
  setImmediate(() => end.abort(reason));
  await assert.rejects(reading, (error) => error === reason);
});

test('client feed: break closes the connection', async () => {
  const { connect, asked } = connections([{ text: render(row(1)), ending: 'silence' }]);
  let signal: AbortSignal | null = null;
  const observed: Connect = async (after, given) => {
    signal = given;
    return await connect(after, given);
  };
  assert.deepEqual(await read(observed, 1), [1]);
  assert.deepEqual([asked.length, signal && AbortSignal.any([signal]).aborted], [1, true]);
});

const TAMPERED: Record<string, { rows: Row[]; after?: Position | number }> = {
  'the hash of a row was changed': { rows: [row(1), row(2, { hash: hashOf(9) }), row(3)] },
  'the previous hash of a row was changed': { rows: [row(1), row(2, { previous_hash: hashOf(9) })] },
  'a row was removed': { rows: [row(1), row(3)] },
  'a row was removed, and the chain made anew': { rows: [row(1), row(3, { previous_hash: hashOf(1) })] },
  'a row comes again': { rows: [row(1), row(1)] },
  'two rows were exchanged': { rows: [row(2), row(1)] },
  'the first row has a predecessor': { rows: [row(1, { previous_hash: hashOf(9) })] },
  'the journal was rewritten since it was read': { rows: [row(8, { previous_hash: hashOf(9) })], after: positionOf(7) },
};

for (const [what, { rows, after = 0 }] of Object.entries(TAMPERED)) {
  test(`client feed: the chain breaks where ${what}`, async () => {
    const { connect, asked } = connections([{ text: rows.map(render).join(''), ending: 'silence' }]);
    await assert.rejects(read(connect, rows.length, { after }), ChainError);
    // It is not a failure of the connection, which another one would repair.
    assert.equal(asked.length, 1);
  });
}

test('client feed: the chain is verified across connections', async () => {
  const { connect } = connections([
    { text: render(row(1)), ending: 'cut' },
    { text: render(row(2, { previous_hash: hashOf(9) })), ending: 'silence' },
  ]);
  await assert.rejects(read(connect, 2), /Row 2 of the journal: the previous hash is 9{64}, expected 1{64}/);
});

test('client feed: after a number alone, the first event is taken as it is', async () => {
  const { connect } = connections([{ text: render(row(8, { previous_hash: hashOf(9) })), ending: 'silence' }]);
  assert.deepEqual(await read(connect, 1, { after: 7 }), [8]);
});

test('client feed: a filter may leave rows out, and adjacent ones are still verified', async () => {
  const cursor = (number: number): string => `id: ${number}\nevent: cursor\ndata: {"next":${number}}\n\n`;
  const { connect, asked } = connections([
    { text: render(row(3)) + cursor(6), ending: 'cut' },
    { text: render(row(8)) + render(row(9)), ending: 'end' },
    { text: render(row(10, { previous_hash: hashOf(1) })), ending: 'silence' },
  ]);
  await assert.rejects(read(connect, 4, { filtered: true }), ChainError);
  assert.deepEqual(asked, [0, 6, 9]);
});

test('client feed: events of a type that it does not know are skipped', async () => {
  const { connect } = connections([{ text: `event: news\ndata: x\n\n${render(row(1))}`, ending: 'silence' }]);
  assert.deepEqual(await read(connect, 1), [1]);
});
