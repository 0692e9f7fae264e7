import type { Fault } from './fault.ts';
export const EDGE_FAULTS: readonly Fault[] = [];
