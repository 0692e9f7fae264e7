// Starts what decides who may use the service: keys, tokens, rates, and the log of refusals.
import type { Config } from '../config.ts';
import type { ConnectionPool } from '../db/connection/connect.ts';
import type { Logger } from '../logger.ts';
import type { JwtSettings, JwtVerifier } from './access/jwt.ts';
import { KeyRing } from './access/key-ring.ts';
import { RateLimits } from './access/rates.ts';
import { Doors } from './api/doors.ts';
import type { LedgerRegistry } from './api/ledgers.ts';
import { refuseUnreachable } from './api/guards.ts';
import { RefusalLog } from './api/refusal-log.ts';
import type { RunningEngine } from './engine/start.ts';
import { isLoopback } from './http/hosts.ts';
import { AllowedOrigins } from './http/origins.ts';
import { TrustedProxies } from './http/proxies.ts';
import { Shares } from './shares.ts';

export type StartedAccess = {
  readonly keys: KeyRing;
  readonly refusals: RefusalLog;
  readonly doors: Doors;
  readonly proxies: TrustedProxies;
  /** Whether every caller is served, because there are no keys. */
  readonly isOpen: () => boolean;
};

type AccessParts = {
  readonly pool: ConnectionPool;
  readonly logger: Logger;
  readonly ledgers: LedgerRegistry;
  readonly running: RunningEngine;
  readonly connectionsMax: number;
};

/** Throws an error of one sentence if machines other than this one could do anything. */
export async function startAccess(
  config: Config,
  { pool, logger, ledgers, running, connectionsMax }: AccessParts,
  stack: AsyncDisposableStack,
): Promise<StartedAccess> {
  const keys = new KeyRing({ pool, logger });
  await keys.start();
  stack.defer(() => keys.stop());
  const { jwt } = config;
  const opening = openingOf(config);
  if (!keys.hasKeys && !jwt && opening !== null) {
    throw new Error(
      `The service has no keys, and ${opening} would let other machines use it: create a key with \`gopherpay keys create\`, or remove the setting.`,
    );
  }
  const refusals = new RefusalLog({ pool, logger });
  refusals.start();
  stack.defer(async () => await refusals.stop());
  const tokens = jwt && (await createVerifier(jwt));
  const proxies = new TrustedProxies(config.trustedProxies);
  const doors = new Doors({
    keys,
    tokens,
    rates: new RateLimits(),
    refusals,
    ledgers,
    findLedger: async (name) => await refuseUnreachable(running, async () => await ledgers.find(name)),
    connections: new Shares({ total: connectionsMax, percent: config.callerSharePercent }),
    isPrivate: opening === null,
    proxies,
    origins: new AllowedOrigins(config.corsOrigins),
    isReachable: () => running.recovery.reachable,
  });
  return { keys, refusals, doors, proxies, isOpen: () => !keys.hasKeys && !tokens };
}

/** The setting by which other machines reach the service; null: none does. */
function openingOf({ host, operations }: Config): string | null {
  if (!isLoopback(host)) return `HOST "${host}"`;
  if (operations && !isLoopback(operations.host)) return `OPERATIONS_HOST "${operations.host}"`;
  return null;
}

/** Loaded only if it is needed: jose and undici take 300 ms. */
async function createVerifier(settings: JwtSettings): Promise<JwtVerifier> {
  const { JwtVerifier: Verifier } = await import('./access/jwt.ts');
  return new Verifier(settings);
}
