import type { Fault } from './fault.ts';
export const START_FAULTS: readonly Fault[] = [];
