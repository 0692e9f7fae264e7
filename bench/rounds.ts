// Runs rounds: every contestant has one turn in each, and each round begins with another one, so that whatever drifts on the
// machine hits all of them.
import { type Contestant, type Run, type Sample, splitName } from './contestant.ts';

/** Prepares the contestants and returns those that can run. For the others, a sample holds the reason. */
export async function prepareAll(
  contestants: readonly Contestant[],
  options: { samples: Sample[]; log: (line: string) => void; signal: AbortSignal },
): Promise<Contestant[]> {
  const { samples, log, signal } = options;
  const prepared: Contestant[] = [];
  for (const contestant of contestants) {
    log(`preparing ${contestant.name}`);
    try {
      await contestant.prepare();
      prepared.push(contestant);
    } catch (error) {
      signal.throwIfAborted();
      samples.push({ ...brokenBy(error), contestant: contestant.name, round: 1 });
      log(`${contestant.name} cannot run: ${String(error)}`);
    }
  }
  return prepared;
}

export async function runRounds(
  contestants: readonly Contestant[],
  options: { rounds: number; seconds: number; samples: Sample[]; log: (line: string) => void; signal: AbortSignal },
): Promise<void> {
  const { rounds, seconds, samples, log, signal } = options;
  for (let round = 1; round <= rounds; round += 1) {
    for (const contestant of inTurn(contestants, round)) {
      const sample = await takeTurn(contestant, round, seconds);
      // What was stopped has not failed.
      signal.throwIfAborted();
      samples.push(sample);
      const figure = sample.broken ?? `${sample.figure?.toFixed(1)} ${contestant.unit}`;
      log(`round ${round} of ${rounds}  ${contestant.name.padEnd(12)} ${figure}`);
    }
  }
}

/**
 * The contestants in the order of a round: each round begins one place further on. Those that measure the same on several checkouts stay
 * neighbors, and each checkout goes first in turn.
 */
export function inTurn<One extends { readonly name: string }>(contestants: readonly One[], round: number): One[] {
  const groups = [...Map.groupBy(contestants, ({ name }) => splitName(name).base).values()];
  // A contestant that needs another one's figure comes after it in the first round, and uses earlier rounds later on.
  return rotate(groups, round - 1).flatMap((group) => rotate(group, round - 1));
}

function rotate<Item>(items: readonly Item[], by: number): Item[] {
  const first = by % items.length;
  return [...items.slice(first), ...items.slice(0, first)];
}

async function takeTurn(contestant: Contestant, round: number, seconds: number): Promise<Sample> {
  const outcome = await contestant.run(seconds).then((run: Run) => ({ ...run, broken: null }), brokenBy);
  return { contestant: contestant.name, round, ...outcome };
}

function brokenBy(error: unknown): Omit<Sample, 'contestant' | 'round'> {
  return { figure: null, broken: String(error), measured: {}, command: '' };
}

/** After the last round, everything is proven; where that fails, none of the contestant's figures stand. */
export async function proveAll(
  contestants: readonly Contestant[],
  samples: readonly Sample[],
  log: (line: string) => void,
): Promise<Sample[]> {
  const refuted = new Map<string, string>();
  for (const contestant of contestants) {
    const complaint = await contestant.prove();
    if (complaint === null) continue;
    refuted.set(contestant.name, complaint);
    log(`${contestant.name}: ${complaint}`);
  }
  return samples.map((sample) => {
    const broken = sample.broken ?? refuted.get(sample.contestant) ?? null;
    return broken === null ? sample : { ...sample, figure: null, broken };
  });
}
