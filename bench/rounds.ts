// Runs rounds: every subject has one turn in each, and each round begins with another one, so that a drift of the
// machine affects all of them.
import { type Subject, type Run, type Sample, splitName } from './subject.ts';

/** Prepares the subjects and returns those that can run. For the others, a sample holds the reason. */
export async function prepareAll(
  subjects: readonly Subject[],
  options: { samples: Sample[]; log: (line: string) => void; signal: AbortSignal },
): Promise<Subject[]> {
  const { samples, log, signal } = options;
  const prepared: Subject[] = [];
  for (const subject of subjects) {
    log(`preparing ${subject.name}`);
    try {
      await subject.prepare();
      prepared.push(subject);
    } catch (error) {
      signal.throwIfAborted();
      samples.push({ ...brokenBy(error), subject: subject.name, round: 1 });
      log(`${subject.name} cannot run: ${String(error)}`);
    }
  }
  return prepared;
}

export async function runRounds(
  subjects: readonly Subject[],
  options: { rounds: number; seconds: number; samples: Sample[]; log: (line: string) => void; signal: AbortSignal },
): Promise<void> {
  const { rounds, seconds, samples, log, signal } = options;
  for (let round = 1; round <= rounds; round += 1) {
    for (const subject of inTurn(subjects, round)) {
      const sample = await takeTurn(subject, round, seconds);
      // A stopped subject has not failed.
      signal.throwIfAborted();
      samples.push(sample);
      const figure = sample.broken ?? `${sample.figure?.toFixed(1)} ${subject.unit}`;
      log(`round ${round} of ${rounds}  ${subject.name.padEnd(12)} ${figure}`);
    }
  }
}

/**
 * The subjects in the order of a round: each round begins one place further on. Those that measure the same on several checkouts stay
 * neighbors, and each checkout goes first in turn.
 */
export function inTurn<One extends { readonly name: string }>(subjects: readonly One[], round: number): One[] {
  const groups = [...Map.groupBy(subjects, ({ name }) => splitName(name).base).values()];
  // A subject that needs another one's figure comes after it in the first round, and uses earlier rounds later on.
  return rotate(groups, round - 1).flatMap((group) => rotate(group, round - 1));
}

function rotate<Item>(items: readonly Item[], by: number): Item[] {
  const first = by % items.length;
  return [...items.slice(first), ...items.slice(0, first)];
}

async function takeTurn(subject: Subject, round: number, seconds: number): Promise<Sample> {
  const outcome = await subject.run(seconds).then((run: Run) => ({ ...run, broken: null }), brokenBy);
  return { subject: subject.name, round, ...outcome };
}

function brokenBy(error: unknown): Omit<Sample, 'subject' | 'round'> {
  return { figure: null, broken: String(error), measured: {}, command: '' };
}

/** Verifies every subject after the last round. If that fails, all figures of the subject are invalid. */
export async function proveAll(
  subjects: readonly Subject[],
  samples: readonly Sample[],
  log: (line: string) => void,
): Promise<Sample[]> {
  const refuted = new Map<string, string>();
  for (const subject of subjects) {
    const complaint = await subject.prove();
    if (complaint === null) continue;
    refuted.set(subject.name, complaint);
    log(`${subject.name}: ${complaint}`);
  }
  return samples.map((sample) => {
    const broken = sample.broken ?? refuted.get(sample.subject) ?? null;
    return broken === null ? sample : { ...sample, figure: null, broken };
  });
}
