import assert from 'node:assert/strict';
import { test } from 'node:test';
import { countOf, dueTimes, loadAt, parseStages, renderLoad, secondsOf, type Stage } from '../../src/load/stages.ts';

const ACCEPTED: readonly { text: string; unit: string; stages: readonly Stage[] }[] = [
  { text: '10s:100/s', unit: 'requests_per_second', stages: [{ seconds: 10, from: 100, to: 100 }] },
  {
    text: '10s:100/s, 2m:100..2000/s,1.5s:0/s',
    unit: 'requests_per_second',
    stages: [
      { seconds: 10, from: 100, to: 100 },
      { seconds: 120, from: 100, to: 2000 },
      { seconds: 1.5, from: 0, to: 0 },
    ],
  },
  { text: '24h:0.5/s', unit: 'requests_per_second', stages: [{ seconds: 86_400, from: 0.5, to: 0.5 }] },
  { text: '30s:1..64c', unit: 'connections', stages: [{ seconds: 30, from: 1, to: 64 }] },
  { text: '1s:10000c', unit: 'connections', stages: [{ seconds: 1, from: 10_000, to: 10_000 }] },
];

for (const { text, unit, stages } of ACCEPTED) {
  test(`stages: ${text} is accepted`, () => assert.deepEqual(parseStages(text), { unit, stages }));
}

const REFUSED: readonly { text: string; why: RegExp }[] = [
  { text: '', why: /^must be stages such as .*, and "" is none$/ },
  { text: '10s:100', why: /and "10s:100" is none$/ },
  { text: '10:100/s', why: /and "10:100\/s" is none$/ },
  { text: '10s:100/s,', why: /and "" is none$/ },
  { text: '10s:-1/s', why: /and "10s:-1\/s" is none$/ },
  { text: '10s:1e3/s', why: /and "10s:1e3\/s" is none$/ },
  { text: '10s:1..2..3/s', why: /is none$/ },
  { text: `10s:${'1'.repeat(200)}/s`, why: /and "10s:1{36}" is none$/ },
  { text: '10s:100/s,10s:64c', why: /^must have stages of one kind/ },
  { text: '0.5s:100/s', why: /^must have stages of at least 1 second$/ },
  { text: '20h:1/s,5h:1/s', why: /^must last at most 24 hours in all$/ },
  { text: '10s:1..1000001/s', why: /^must have at most 1000000 requests per second$/ },
  { text: '10s:0/s', why: /^must have at least one request$/ },
  { text: '10s:0..4c', why: /^must have from 1 to 10000 connections, in whole numbers$/ },
  { text: '10s:1.5c', why: /^must have from 1 to 10000 connections/ },
  { text: '10s:10001c', why: /^must have from 1 to 10000 connections/ },
  { text: Array.from({ length: 101 }, () => '1s:1/s').join(','), why: /^must have at most 100 stages$/ },
];

for (const { text, why } of REFUSED) {
  test(`stages: ${text.slice(0, 30)} is refused with what is expected`, () => {
    const said = parseStages(text);
    assert.ok(typeof said === 'string');
    assert.match(said, why);
  });
}

const RAMP: readonly Stage[] = [
  { seconds: 2, from: 10, to: 10 },
  { seconds: 10, from: 0, to: 20 },
  { seconds: 4, from: 20, to: 0 },
];

test('stages: as many requests are due as the rates make', () => {
  assert.equal(countOf(RAMP), 20 + 100 + 40);
  assert.equal(secondsOf(RAMP), 16);
  const due = [...dueTimes(RAMP, 5000)];
  assert.equal(due.length, 160);
  assert.equal(due[0], 5000);
  assert.ok((due.at(-1) ?? 0) < 5000 + 16_000);
  const sorted = due.toSorted((a, b) => a - b);
  assert.deepEqual(due, sorted);
});

test('stages: in each second of a ramp, the requests are due that its rate has in the middle of the second', () => {
  const due = [...dueTimes(RAMP, 0)];
  for (let second = 0; second < 16; second += 1) {
    const count = due.filter((at) => Math.floor(at / 1000) === second).length;
    assert.ok(Math.abs(count - (loadAt(RAMP, second + 0.5) ?? 0)) <= 1, `${count} in second ${second}`);
  }
});

test('stages: a constant rate has equal distances, also beyond a million requests', () => {
  let index = 0;
  for (const at of dueTimes([{ seconds: 3, from: 500_000, to: 500_000 }], 0)) {
    assert.ok(Math.abs(at - index / 500) < 1e-3);
    index += 1;
  }
  assert.equal(index, 1_500_000);
});

test('stages: a rate below one request per stage carries over to the next stage', () => {
  const quarter = { seconds: 1, from: 0.5, to: 0.5 };
  assert.deepEqual([...dueTimes([quarter, quarter, quarter], 0)], [0, 2000]);
});

test('stages: the wanted load is that of the moment, and null after the end', () => {
  assert.deepEqual(
    [0, 1.9, 2, 7, 12, 14, 16].map((second) => loadAt(RAMP, second)),
    [10, 10, 0, 10, 20, 10, null],
  );
  assert.equal(renderLoad({ seconds: 1, from: 1, to: 5 }, 'connections'), '1..5 connections');
  assert.equal(renderLoad({ seconds: 1, from: 5, to: 5 }, 'requests_per_second'), '5/s');
});
