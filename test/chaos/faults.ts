// All faults, by name.
import { BETWEEN_FAULTS } from './faults-between.ts';
import { DATABASE_FAULTS } from './faults-database.ts';
import { FAILOVER_FAULTS } from './faults-failover.ts';
import { EDGE_FAULTS } from './faults-edge.ts';
import { KEY_FAULTS } from './faults-keys.ts';
import { LOAD_FAULTS } from './faults-load.ts';
import { LOG_FAULTS } from './faults-log.ts';
import { NETWORK_FAULTS } from './faults-network.ts';
import { PROCESS_FAULTS } from './faults-process.ts';
import { START_FAULTS } from './faults-start.ts';
import type { Fault } from './fault.ts';

export const FAULTS: readonly Fault[] = [
  ...PROCESS_FAULTS,
  ...DATABASE_FAULTS,
  ...FAILOVER_FAULTS,
  ...NETWORK_FAULTS,
  ...EDGE_FAULTS,
  ...KEY_FAULTS,
  ...LOG_FAULTS,
  ...LOAD_FAULTS,
  ...START_FAULTS,
  ...BETWEEN_FAULTS,
];
