// The stages of a load: how long, and how much of it, constant or as a ramp. A load is of requests per second (open loop) or of
// connections (closed loop).

/** From its begin to its end, the load changes evenly. */
export type Stage = { readonly seconds: number; readonly from: number; readonly to: number };

export type Plan = { readonly unit: 'requests_per_second' | 'connections'; readonly stages: readonly Stage[] };

const STAGES_MAX = 100;
const SECONDS_MAX = 86_400;
export const RATE_MAX = 1_000_000;
export const CONNECTIONS_MAX = 10_000;
const SECONDS_OF: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600 };
/** Such as 30s:100..2000/s, and 30s:64c. */
const STAGE_FORM =
  /^(?<time>\d{1,6}(?:\.\d{1,3})?)(?<scale>[smh]):(?<from>\d{1,9}(?:\.\d{1,3})?)(?:\.\.(?<to>\d{1,9}(?:\.\d{1,3})?))?(?<unit>\/s|c)$/;
/** A sum of fractions is not exact, and one request too many would be due at the end of a stage. */
const ROUNDING = 1e-6;

/** The plan of a text such as `10s:100/s,30s:100..2000/s`, or what it must be instead, as a phrase that begins with "must". */
export function parseStages(text: string): Plan | string {
  const parts = text.split(',');
  if (parts.length > STAGES_MAX) return `must have at most ${STAGES_MAX} stages`;
  const parsed = parts.map((part) => STAGE_FORM.exec(part.trim())?.groups);
  const wrong = parts[parsed.indexOf(undefined)];
  if (wrong !== undefined) {
    const forms = '10s:100/s,30s:100..2000/s (requests per second), or 30s:1..64c (connections)';
    return `must be stages such as ${forms}, and "${wrong.slice(0, 40)}" is none`;
  }
  const stages = parsed.map(({ time = '', scale = '', from = '', to = from } = {}) => ({
    seconds: Number(time) * (SECONDS_OF[scale] ?? 1),
    from: Number(from),
    to: Number(to),
  }));
  const units = new Set(parsed.map((groups) => groups?.['unit']));
  if (units.size > 1) return 'must have stages of one kind, /s or c';
  if (stages.some(({ seconds }) => seconds < 1)) return 'must have stages of at least 1 second';
  if (secondsOf(stages) > SECONDS_MAX) return `must last at most 24 hours in all`;
  const loads = stages.flatMap(({ from, to }) => [from, to]);
  if (units.has('c')) {
    if (loads.every((load) => Number.isInteger(load) && load >= 1 && load <= CONNECTIONS_MAX)) {
      return { unit: 'connections', stages };
    }
    return `must have from 1 to ${CONNECTIONS_MAX} connections, in whole numbers`;
  }
  if (Math.max(...loads) > RATE_MAX) return `must have at most ${RATE_MAX} requests per second`;
  if (countOf(stages) < 1) return 'must have at least one request';
  return { unit: 'requests_per_second', stages };
}

/** The seconds of all stages together. */
export function secondsOf(stages: readonly Stage[]): number {
  return stages.reduce((sum, { seconds }) => sum + seconds, 0);
}

/** The requests of all stages together, if they are stages by rate. */
export function countOf(stages: readonly Stage[]): number {
  return stages.reduce((sum, { seconds, from, to }) => sum + (seconds * (from + to)) / 2, 0);
}

/** The load that the stages want at a second; null after their end. */
export function loadAt(stages: readonly Stage[], second: number): number | null {
  let beginsAt = 0;
  for (const { seconds, from, to } of stages) {
    if (second < beginsAt + seconds) return from + (to - from) * Math.max(0, (second - beginsAt) / seconds);
    beginsAt += seconds;
  }
  return null;
}

/** When each request of stages by rate is due, in milliseconds. In a ramp, the time between requests changes from one to the next. */
export function* dueTimes(stages: readonly Stage[], startedAt: number): Generator<number, undefined> {
  let [index, countBefore, beginsAt] = [0, 0, startedAt];
  for (const stage of stages) {
    const countAfter = countBefore + countOf([stage]);
    for (; index < countAfter - ROUNDING; index += 1) {
      yield beginsAt + 1000 * secondOf(stage, Math.max(0, index - countBefore));
    }
    countBefore = countAfter;
    beginsAt += stage.seconds * 1000;
  }
  return undefined;
}

/**
 * The second of the stage by which it has had `count` requests. With the slope s of the rate r, it has had r·t + s·t²/2 at t. This form
 * of the root is exact for a slope of 0 too.
 */
function secondOf({ seconds, from, to }: Stage, count: number): number {
  if (count === 0) return 0;
  const slope = (to - from) / seconds;
  return (2 * count) / (from + Math.sqrt(Math.max(0, from ** 2 + 2 * slope * count)));
}

/** A stage as it is written, without its duration. */
export function renderLoad({ from, to }: Stage, unit: Plan['unit']): string {
  return `${from === to ? from : `${from}..${to}`}${unit === 'connections' ? ' connections' : '/s'}`;
}
