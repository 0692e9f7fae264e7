// A fault: a name, the system it needs, its action on that system under load, and the time allowed for recovery.
import type { Random } from '../support/random.ts';
import type { Callers } from './callers.ts';
import type { Shape, System } from './system.ts';

/** The context of a fault in each round. */
export type FaultContext = {
  system: System;
  callers: Callers;
  draw: Random;
  /** Whether to take seconds only: a round of a test, not of a long run. */
  short: boolean;
};

export type Fault = {
  /** In kebab-case, as it is called on the command line. */
  name: string;
  shape: Shape;
  /** Whether there is a second ledger, and half of the load is transfers between the two. */
  pair?: boolean;
  /** Whether each round has a new system: because its start is under test. */
  fresh?: boolean;
  /** How soon after the fault everything must be ready and settled again, without help. */
  recoverMs: number;
  /** Returns what this machine lacks, in a sentence, or null if the fault can be injected here. */
  impediment?: () => Promise<string | null>;
  /** What the system needs before its first round. */
  prepare?: (context: Omit<FaultContext, 'callers'>) => Promise<void>;
  /** Injects the fault under load, and returns when it is over. Adds to the system's complaints. */
  inject: (context: FaultContext) => Promise<void>;
  /** Restores what the recovery had to do without, such as a second service. */
  restore?: (context: FaultContext) => Promise<void>;
};
