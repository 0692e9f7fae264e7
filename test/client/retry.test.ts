// What the client retries, how long it waits, and when it stops. Time and chance are the test's.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  ConnectionError,
  type GopherPayError,
  type Problem,
  type ProblemCode,
  ProblemError,
  PROBLEMS,
  UnexpectedAnswerError,
} from '../../clients/typescript/src/errors.ts';
import { type Limits, retry } from '../../clients/typescript/src/retry.ts';

const LIMITS: Limits = { deadlineMs: 60_000, attemptTimeoutMs: 10_000, signal: undefined, repeatable: true };

/** A clock that does not wait, and draws the same each time. */
function fakeClock(random = 0.5) {
  const pauses: number[] = [];
  let now = 1000;
  const sleep = async (ms: number): Promise<void> => {
    pauses.push(ms);
    now += ms;
  };
  return { pauses, now: () => now, sleep, random: () => random };
}

function problem(code: ProblemCode, retryAfterMs: number | null = null): ProblemError {
  const body: Problem = { type: '', title: '', status: 400, code, detail: '', request_id: '' };
  return new ProblemError(body, retryAfterMs);
}

function isCode(name: string): name is ProblemCode {
  return name in PROBLEMS;
}

/** How many attempts there are if the first ones fail with these errors. */
async function attemptsAfter(errors: readonly Error[], limits: Partial<Limits> = {}): Promise<number> {
  let attempts = 0;
  const attempt = async (): Promise<void> => {
    const error = errors[attempts];
    attempts += 1;
    if (error) throw error;
  };
  await retry(attempt, { ...LIMITS, ...limits }, fakeClock()).catch(() => {});
  return attempts;
}

for (const code of Object.keys(PROBLEMS).filter(isCode)) {
  test(`client: ${code} is retried: ${PROBLEMS[code]}`, async () => {
    assert.equal(await attemptsAfter([problem(code)], { repeatable: true }), PROBLEMS[code] === 'never' ? 1 : 2);
    assert.equal(await attemptsAfter([problem(code)], { repeatable: false }), PROBLEMS[code] === 'always' ? 2 : 1);
  });
}

test('client: a failed connection is retried only if a second request has no second effect', async () => {
  const error = new ConnectionError(new Error('reset'));
  assert.equal(await attemptsAfter([error, error, error]), 4);
  assert.equal(await attemptsAfter([error], { repeatable: false }), 1);
});

test('client: of the answers of a gateway only temporary ones are retried', async () => {
  for (const [status, attempts] of [
    [408, 2],
    [429, 2],
    [500, 1],
    [502, 2],
    [503, 2],
    [504, 2],
    [404, 1],
    [302, 1],
  ] as const) {
    assert.equal(await attemptsAfter([new UnexpectedAnswerError(status, '')]), attempts, String(status));
    assert.equal(await attemptsAfter([new UnexpectedAnswerError(status, '')], { repeatable: false }), 1);
  }
});

test('client: an error of the program is thrown at once', async () => {
  assert.equal(await attemptsAfter([new TypeError('a defect')]), 1);
});

test('client: pauses double up to ten seconds, and are drawn from zero on', async () => {
  const failing = Array.from({ length: 10 }, () => new ConnectionError('reset'));
  for (const [random, expected] of [
    [0, Array.from({ length: 10 }, () => 0)],
    [1, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000, 10_000]],
  ] as const) {
    const clock = fakeClock(random);
    const errors = failing.values();
    await retry(
      async () => {
        const { value } = errors.next();
        if (value) throw value;
      },
      LIMITS,
      clock,
    );
    assert.deepEqual(clock.pauses, expected);
  }
});

test('client: a pause is never shorter than Retry-After', async () => {
  const clock = fakeClock(0);
  const errors: (GopherPayError | undefined)[] = [problem('queue_full', 3000), problem('rate_limited', 1000)];
  await retry(
    async () => {
      const error = errors.shift();
      if (error) throw error;
    },
    LIMITS,
    clock,
  );
  assert.deepEqual(clock.pauses, [3000, 1000]);
});

test('client: a pause beyond the deadline is not made, and the last failure is thrown', async () => {
  const clock = fakeClock(0);
  const refused = problem('instant_not_closed', 61_000);
  await assert.rejects(
    retry(() => Promise.reject(refused), LIMITS, clock),
    (error) => error === refused,
  );
  assert.deepEqual(clock.pauses, []);
});

test('client: a time without end is no time', async () => {
  const attempt = async (signal: AbortSignal): Promise<boolean> => {
    await new Promise((resolve) => setTimeout(resolve, 5));
    return signal.aborted;
  };
  assert.equal(await retry(attempt, { ...LIMITS, deadlineMs: Infinity, attemptTimeoutMs: Infinity }), false);
});

test('client: attempts end at the deadline', async () => {
  const clock = fakeClock(1);
  let attempts = 0;
  const failing = async (): Promise<never> => {
    attempts += 1;
    throw new ConnectionError(`attempt ${attempts}`);
  };
  await assert.rejects(retry(failing, { ...LIMITS, deadlineMs: 1000 }, clock), /attempt 4$/);
  assert.deepEqual(clock.pauses, [100, 200, 400]);
});

test('client: a silent attempt is given up, and another one follows', async () => {
  let attempts = 0;
  const result = await retry(
    async (signal) => {
      attempts += 1;
      if (attempts === 2) return 'answered';
      const { promise, reject } = Promise.withResolvers<never>();
      signal.addEventListener('abort', () => reject(new ConnectionError(signal.reason)));
      return await promise;
    },
    { ...LIMITS, attemptTimeoutMs: 10 },
    fakeClock(),
  );
  assert.deepEqual([result, attempts], ['answered', 2]);
});

test("client: the caller's signal ends an attempt and a pause, and its reason is thrown", async () => {
  const reason = new Error('enough');
  for (const failing of [
    // In the middle of an attempt.
    async (signal: AbortSignal, end: AbortController) => {
      const { promise, reject } = Promise.withResolvers<never>();
      signal.addEventListener('abort', () => reject(new ConnectionError(signal.reason)));
      end.abort(reason);
      return await promise;
    },
    // Between two attempts: the pause is a minute long.
    async (_: AbortSignal, end: AbortController) => {
      setImmediate(() => end.abort(reason));
      throw problem('too_busy', 60_000);
    },
  ]) {
    const end = new AbortController();
    const limits = { ...LIMITS, deadlineMs: Infinity, signal: end.signal };
    await assert.rejects(
      retry((signal) => failing(signal, end), limits),
      (error) => error === reason,
    );
  }
});
