// What a fault is: a name, the system it needs, what it does to that system under load, and how soon all must be well again.
import type { Random } from '../support/random.ts';
import type { Callers } from './callers.ts';
import type { Shape, System } from './system.ts';

/** What a fault is given in each round. */
export type Blow = {
  system: System;
  callers: Callers;
  draw: Random;
  /** Whether it shall keep to seconds: a round of a test, and not of a long night. */
  short: boolean;
};

export type Fault = {
  /** In kebab-case, as it is called on the command line. */
  name: string;
  shape: Shape;
  /** Whether each round has a new system: because the beginning of one is what is to be seen. */
  fresh?: boolean;
  /** How long after the trouble is over everything must be ready and settled again, without anybody's help. */
  recoverMs: number;
  /** Says what this machine lacks, in a sentence, or null if the fault can be made here. */
  impediment?: () => Promise<string | null>;
  /** What the system needs before its first round. */
  prepare?: (blow: Omit<Blow, 'callers'>) => Promise<void>;
  /** Makes the trouble, while callers are at work, and returns when it is over. Adds to the system's complaints. */
  strike: (blow: Blow) => Promise<void>;
  /** Puts back what the recovery had to do without, such as a second service. */
  mend?: (blow: Blow) => Promise<void>;
};
