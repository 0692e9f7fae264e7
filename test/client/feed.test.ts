// The reader of the feed, on connections that the test makes and breaks: it resumes after the last event, and detects a
// journal whose rows do not follow each other, or do not agree with their hashes.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import {
  ChainError,
  ConnectionError,
  type Problem,
  ProblemError,
  type ProblemCode,
} from '../../clients/typescript/src/errors.ts';
import {
  Chain,
  type ChainOptions,
  type Connect,
  follow,
  type FollowOptions,
  type Position,
} from '../../clients/typescript/src/feed.ts';
import { CLOCK } from '../../clients/typescript/src/retry.ts';

type Row = {
  ledger: string;
  journal_number: number;
  settled_at: string;
  hash: string;
  previous_hash: string;
  digest: string;
  transfer_count: number;
  change_count: number;
  transfers: object[];
  account_changes: object[];
};
/** How a connection ends after its text. */
type Ending = 'end' | 'cut' | 'silence';

const NO_HASH = '0'.repeat(64);
const OTHER_HASH = 'f'.repeat(64);

/** A row with a true hash. */
function seal(row: Omit<Row, 'hash'>): Row {
  const micros = Temporal.Instant.from(row.settled_at).epochNanoseconds / 1000n;
  const hash = createHash('sha256')
    .update(row.previous_hash, 'hex')
    .update(`${row.ledger}|${row.journal_number}|${micros}|${row.transfer_count}|${row.change_count}`)
    .update(row.digest, 'hex')
    .digest('hex');
  return { ...row, hash };
}

/** A row of the journal, with changes that its hash covers. */
function row(number: number, more: Partial<Omit<Row, 'hash'>> = {}): Row {
  return seal({
    ledger: 'läden',
    journal_number: number,
    settled_at: '2026-11-05T10:00:00.25Z',
    previous_hash: hashOf(number - 1),
    digest: '9e'.repeat(32),
    transfer_count: 2,
    change_count: 1,
    transfers: [{}, {}],
    account_changes: [{}],
    ...more,
  });
}

function hashOf(number: number): string {
  return number === 0 ? NO_HASH : row(number).hash;
}

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
  { after = 0, filtered, ledger, ...options }: FollowOptions & ChainOptions & { after?: Position | number } = {},
): Promise<number[]> {
  const numbers: number[] = [];
  const clock = { ...CLOCK, sleep: async () => {} };
  for await (const event of follow(connect, new Chain(after, { filtered, ledger }), options, clock)) {
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
  'a row was rewritten with its hash': { rows: [row(1), row(2, { digest: OTHER_HASH }), row(3)] },
  'the previous hash of a row was changed': { rows: [row(1), row(2, { previous_hash: OTHER_HASH })] },
  'a row was removed': { rows: [row(1), row(3)] },
  'a row was removed, and the chain made anew': { rows: [row(1), row(3, { previous_hash: hashOf(1) })] },
  'a row comes again': { rows: [row(1), row(1)] },
  'two rows were exchanged': { rows: [row(2), row(1)] },
  'the first row has a predecessor': { rows: [row(1, { previous_hash: OTHER_HASH })] },
  'the journal was rewritten since it was read': {
    rows: [row(8, { previous_hash: OTHER_HASH })],
    after: positionOf(7),
  },
};

for (const [what, { rows, after = 0 }] of Object.entries(TAMPERED)) {
  test(`client feed: the chain breaks where ${what}`, async () => {
    const { connect, asked } = connections([{ text: rows.map(render).join(''), ending: 'silence' }]);
    await assert.rejects(read(connect, rows.length, { after }), ChainError);
    // It is not a failure of the connection, which another one would repair.
    assert.equal(asked.length, 1);
  });
}

const CHANGED: Record<string, Partial<Row>> = {
  'the ledger': { ledger: 'laden' },
  'the time': { settled_at: '2026-11-05T10:00:00.250001Z' },
  'the form of the time': { settled_at: 'yesterday' },
  'the hash': { hash: OTHER_HASH },
  'the digest': { digest: OTHER_HASH },
  'the length of the digest': { digest: `${'9e'.repeat(32)}0` },
  'the form of the digest': { digest: `${'9e'.repeat(31)}9E` },
  'a transfer and their number': { transfer_count: 1, transfers: [{}] },
  'a change and their number': { change_count: 0, account_changes: [] },
};

for (const [what, change] of Object.entries(CHANGED)) {
  for (const [reader, options] of Object.entries({
    'a whole feed': {},
    'a feed with a filter': { filtered: true },
    'a feed after a number alone': { after: 1 },
  })) {
    test(`client feed: in ${reader}, the hash is wrong where ${what} was changed`, async () => {
      const { connect } = connections([{ text: render({ ...row(2), ...change }), ending: 'silence' }]);
      await assert.rejects(read(connect, 1, { after: positionOf(1), ...options }), (error) => {
        assert.ok(error instanceof ChainError);
        assert.equal(error.journalNumber, 2);
        assert.match(error.message, /: the hash is/);
        return true;
      });
    });
  }
}

const INCOMPLETE: Record<string, Partial<Row>> = {
  transfers: { transfers: [{}] },
  'account changes': { account_changes: [] },
};

for (const [what, change] of Object.entries(INCOMPLETE)) {
  test(`client feed: ${what} that are missing in an event are detected, unless there is a filter`, async () => {
    const text = render({ ...row(1), ...change });
    const whole = connections([{ text, ending: 'silence' }]);
    await assert.rejects(read(whole.connect, 1), (error) => {
      assert.ok(error instanceof ChainError);
      assert.match(error.message, new RegExp(`the number of ${what} is`));
      return true;
    });
    const filtered = connections([{ text, ending: 'silence' }]);
    assert.deepEqual(await read(filtered.connect, 1, { filtered: true }), [1]);
  });
}

test('client feed: an event of another ledger is refused, with a filter too', async () => {
  // The server answers with the journal of another ledger, whose hashes are right.
  const other = row(1, { ledger: 'other' });
  for (const [expected, options] of [
    ['läden', { ledger: 'läden' }],
    ['läden', { ledger: 'läden', filtered: true }],
    ['other', {}],
  ] as const) {
    const rows = expected === 'other' ? [other, row(2, { previous_hash: other.hash })] : [other];
    const { connect, asked } = connections([{ text: rows.map(render).join(''), ending: 'silence' }]);
    await assert.rejects(read(connect, 2, options), (error) => {
      assert.ok(error instanceof ChainError);
      assert.match(error.message, new RegExp(`^Row ${rows.length} of the journal: the ledger is \\S+, expected `));
      return true;
    });
    assert.equal(asked.length, 1);
  }
});

test('client feed: a position belongs to its ledger', async () => {
  const after = { ...positionOf(7), ledger: 'other' };
  assert.throws(
    () => new Chain(after, { ledger: 'läden' }),
    /^ChainError: Row 7 .* the ledger is other, expected läden/,
  );
  const { connect } = connections([{ text: render(row(8)), ending: 'silence' }]);
  await assert.rejects(read(connect, 1, { after }), /Row 8 of the journal: the ledger is läden, expected other/);
});

test('client feed: the row of an administrative act has no records', async () => {
  const act = row(1, { transfer_count: 0, transfers: [], change_count: 1, account_changes: [] });
  const { connect } = connections([{ text: render(act), ending: 'silence' }]);
  assert.deepEqual(await read(connect, 1), [1]);
});

test('client feed: hashes cover times to the microsecond, however many digits they have', async () => {
  for (const fraction of ['', '.1', '.000001', '.000010', '.123456', '.999999']) {
    const timed = row(1, { settled_at: `2026-11-05T10:00:00${fraction}Z` });
    const { connect } = connections([{ text: render(timed), ending: 'silence' }]);
    assert.deepEqual(await read(connect, 1), [1]);
  }
});

test('client feed: the chain is verified across connections', async () => {
  const { connect } = connections([
    { text: render(row(1)), ending: 'cut' },
    { text: render(row(2, { previous_hash: OTHER_HASH })), ending: 'silence' },
  ]);
  await assert.rejects(
    read(connect, 2),
    new RegExp(`Row 2 of the journal: the previous hash is ${OTHER_HASH}, expected ${hashOf(1)}`),
  );
});

test('client feed: after a number alone, the first event may follow any row', async () => {
  const { connect } = connections([{ text: render(row(8, { previous_hash: OTHER_HASH })), ending: 'silence' }]);
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
