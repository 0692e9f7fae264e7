// The doors of the service: who sends a request, and whether it may use the route in the ledger. It is checked before
// the body of the request is read.
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Principal } from '../../domain/access.ts';
import { type Ledger, MAIN_LEDGER } from '../../domain/ledger.ts';
import type { JwtVerifier } from '../access/jwt.ts';
import type { KeyRing } from '../access/key-ring.ts';
import { TokenError } from '../access/token-error.ts';
import { type RateDecision, rateHeaders, type RateLimits } from '../access/rates.ts';
import type { Refusal, RefusalLog } from './refusal-log.ts';
import type { Admitted, Endpoint } from '../http/endpoint.ts';
import { type AllowedOrigins, isLocalOrigin } from '../http/origins.ts';
import { Problem } from '../http/problem.ts';
import type { TrustedProxies } from '../http/proxies.ts';
import { clientCertificateOf } from '../http/tls.ts';
import { callerOf, type Shares } from '../shares.ts';
import { unavailableProblem } from './failures.ts';
import type { LedgerRegistry } from './ledgers.ts';
import { ANYBODY, insufficientScope, notAllowed, unauthorized } from './permissions.ts';
import type { Route } from './route.ts';

export type DoorParts = {
  readonly keys: KeyRing;
  /** Verifies tokens of an OIDC issuer; null: the operator named none. */
  readonly tokens: JwtVerifier | null;
  readonly rates: RateLimits;
  readonly refusals: RefusalLog;
  readonly ledgers: LedgerRegistry;
  /** Finds a ledger that is not cached. Throws ledger_not_found, or a 503. */
  readonly findLedger: (name: string) => Promise<Ledger>;
  /** How the connections are divided between keys. */
  readonly connections: Shares;
  /** Whether only this machine can connect. Then a service without keys serves every caller. */
  readonly isPrivate: boolean;
  readonly proxies: TrustedProxies;
  /** Other origins whose pages may use the service. */
  readonly origins: AllowedOrigins;
  /** False while it is known that the database cannot be reached. */
  readonly isReachable: () => boolean;
};

/** How many new tokens an address may have verified in one second. Those that were verified are remembered. */
const VERIFICATIONS_PER_SECOND = 200;

const FORWARDED =
  'A proxy forwards requests to a service without keys: create a key, or name the proxy in TRUSTED_PROXIES if it authenticates callers.';

const FOREIGN = 'Without keys, only pages of this machine may use the service: create a key.';

type Found = { readonly principal: Principal; readonly caller: string; readonly address: string };

export class Doors {
  readonly #parts: DoorParts;
  /** The connections that were counted for a key. */
  readonly #counted = new WeakSet<Socket>();

  constructor(parts: DoorParts) {
    this.#parts = parts;
  }

  /** The endpoint of a route, which callers reach through these doors. */
  guard(route: Route): Endpoint<Ledger, Principal> {
    return { ...route, admit: (request, ledgerName) => this.#admit(request, route, ledgerName) };
  }

  /** Throws unauthorized, insufficient_scope, not_allowed, rate_limited, ledger_not_found, or a 503. */
  #admit(
    request: IncomingMessage,
    route: Route,
    ledgerName: string | null,
  ): Admitted<Ledger, Principal> | Promise<Admitted<Ledger, Principal>> {
    if (route.scope === 'open') return this.#enter(this.#anybody(request), ledgerName);
    // Operators read metrics while the database is away, with the keys that were read last.
    if (!this.#parts.keys.isFresh && !route.operational) return this.#admitWhenFresh(request, route, ledgerName);
    return this.#check(request, route, ledgerName);
  }

  /** Admits every caller, to what shows no data. */
  admitAnybody(request: IncomingMessage): Admitted<Ledger, Principal> | Promise<Admitted<Ledger, Principal>> {
    return this.#enter(this.#anybody(request), null);
  }

  /** Whether a caller that was admitted may still read a stream. */
  isAdmitted(principal: Principal): boolean {
    const { keys, tokens, isPrivate } = this.#parts;
    if (principal.id === null) return isPrivate && !keys.hasKeys && !tokens;
    return keys.isValid(principal) || (tokens?.isValid(principal) ?? false);
  }

  /** A process that cannot read the keys does not know which are revoked. Nor can it do anything without the database. */
  async #admitWhenFresh(request: IncomingMessage, route: Route, ledgerName: string | null) {
    const { keys, isReachable } = this.#parts;
    if (!isReachable() || !(await keys.reread())) throw unavailableProblem();
    return await this.#check(request, route, ledgerName);
  }

  #check(
    request: IncomingMessage,
    route: Route,
    ledgerName: string | null,
  ): Admitted<Ledger, Principal> | Promise<Admitted<Ledger, Principal>> {
    const refuse = (error: unknown, principal?: Principal): never => {
      if (error instanceof Problem && error.status < 500) {
        this.#noteRefusal(error, route, { address: this.#addressOf(request), ledgerName, principal });
      }
      throw error;
    };
    const authorize = (found: Found): Admitted<Ledger, Principal> | Promise<Admitted<Ledger, Principal>> => {
      try {
        return this.#authorize(request, route, { found, ledgerName });
      } catch (error) {
        return refuse(error, found.principal);
      }
    };
    let found: Found | Promise<Found>;
    try {
      found = this.#identify(request);
    } catch (error) {
      return refuse(error);
    }
    // A known caller is not awaited: a turn of the event loop costs more than the check.
    return found instanceof Promise ? found.catch(refuse).then(authorize) : authorize(found);
  }

  /** Notes a refusal in the log of the key's own ledger, of the one that the request names, or else of the main one. */
  #noteRefusal(
    problem: Problem,
    route: Route,
    {
      ledgerName,
      principal,
      address,
    }: { ledgerName: string | null; principal?: Principal | undefined; address: string },
  ): void {
    const { ledgers, findLedger, refusals } = this.#parts;
    const note = (ledger: Ledger): void =>
      refusals.note(toRefusal(problem, route, { ledger, address, ...(principal && { principal }) }));
    const own = principal?.ledger ?? null;
    const known = ledgers.recall(own ?? ledgerName ?? MAIN_LEDGER.name);
    // Names that no caller vouches for are not looked up: they may be invented.
    if (known || own === null) note(known ?? MAIN_LEDGER);
    else findLedger(own).then(note, () => note(MAIN_LEDGER));
  }

  #authorize(
    request: IncomingMessage,
    route: Route,
    { found, ledgerName }: { found: Found; ledgerName: string | null },
  ): Admitted<Ledger, Principal> | Promise<Admitted<Ledger, Principal>> {
    const { principal } = found;
    if (principal.ledger !== null && (route.global ? !route.ofOwnLedger : isAnother(principal.ledger, ledgerName))) {
      throw notAllowed(`The key belongs to the ledger ${principal.ledger}.`);
    }
    const { scope } = route;
    if (scope !== 'any' && scope !== 'open' && !principal.scopes.has(scope)) throw insufficientScope(scope);
    const rate = this.#countRequest(found);
    this.#countConnection(request.socket, found);
    return this.#enter(found, ledgerName ?? principal.ledger, rate);
  }

  #identify(request: IncomingMessage): Found | Promise<Found> {
    const { keys, tokens, isPrivate, proxies, origins } = this.#parts;
    if (isPrivate && !keys.hasKeys && !tokens) {
      if (proxies.isEmpty && isForwarded(request)) throw unauthorized(FORWARDED, false);
      const { origin } = request.headers;
      if (origins.allows(origin) && !isLocalOrigin(origin)) throw new Problem('foreign_origin', FOREIGN);
      return this.#anybody(request);
    }
    const toFound = (principal: Principal): Found => ({
      principal,
      caller: `key:${principal.id}`,
      address: this.#addressOf(request),
    });
    const { authorization } = request.headers;
    if (authorization === undefined) {
      const certificate = clientCertificateOf(request.socket);
      const owner = certificate === null ? null : keys.findCertificate(certificate);
      if (owner) return toFound(owner);
      throw unauthorized('Send a key: `Authorization: Bearer gp_…`. The operator creates keys.', false);
    }
    const token = tokenOf(authorization);
    if (token === null) throw unauthorized('Send the key as `Bearer`, or as the user name of `Basic`.', true);
    const principal = keys.find(token) ?? tokens?.recall(token);
    if (principal) return toFound(principal);
    if (!tokens || token.startsWith('gp_')) throw unauthorized('The key is unknown, expired or revoked.', true);
    this.#countVerification(request);
    return tokens.verify(token).then(toFound, (error: unknown) => {
      throw error instanceof TokenError ? toTokenProblem(error) : error;
    });
  }

  /** An invented token costs up to 0.2 ms, so each address may have some in a second. */
  #countVerification(request: IncomingMessage): void {
    const rate = this.#parts.rates.take(
      `verify ${this.#addressOf(request)}`,
      VERIFICATIONS_PER_SECOND,
      performance.now(),
    );
    if (rate.allowed) return;
    throw new Problem('rate_limited', 'Your address sends too many tokens that must be verified.', {
      headers: { 'Retry-After': String(rate.retryAfterSeconds) },
    });
  }

  #addressOf(request: IncomingMessage): string {
    return callerOf(this.#parts.proxies.addressOf(request));
  }

  #anybody(request: IncomingMessage): Found {
    const address = this.#addressOf(request);
    return { principal: ANYBODY, caller: address, address };
  }

  #countRequest({ principal: { id, limits } }: Found): RateDecision | null {
    if (id === null || limits.requestsPerSecond === null) return null;
    const rate = this.#parts.rates.take(id, limits.requestsPerSecond, performance.now());
    if (rate.allowed) return rate;
    throw new Problem('rate_limited', `The key may send ${rate.limit} requests per second.`, {
      headers: { ...rateHeaders(rate), 'Retry-After': String(rate.retryAfterSeconds) },
    });
  }

  /** A connection counts for the first key that is used on it; that of a proxy for none, because it has many callers. */
  #countConnection(socket: Socket, { principal, caller }: Found): void {
    if (principal.id === null || this.#counted.has(socket)) return;
    // Its caller left while the token was verified, or the keys were read: nothing would release it.
    if (socket.destroyed) return;
    const { connections, proxies } = this.#parts;
    if (proxies.trusts(socket.remoteAddress)) return;
    if (!connections.tryTake(caller)) {
      throw new Problem('too_many_connections', 'The key has its share of connections. Use fewer.', {
        headers: { 'Retry-After': '1', Connection: 'close' },
      });
    }
    this.#counted.add(socket);
    socket.once('close', () => connections.release(caller));
  }

  #enter(
    found: Found,
    ledgerName: string | null,
    rate: RateDecision | null = null,
  ): Admitted<Ledger, Principal> | Promise<Admitted<Ledger, Principal>> {
    const answerHeaders = rate && rateHeaders(rate);
    const name = ledgerName ?? MAIN_LEDGER.name;
    const ledger = this.#parts.ledgers.recall(name);
    if (ledger) return { ...found, ledger, answerHeaders };
    return this.#parts.findLedger(name).then((loaded) => ({ ...found, ledger: loaded, answerHeaders }));
  }
}

/** A refusal as the audit log has it. */
export function toRefusal(
  { code }: Problem,
  { method, pattern }: Pick<Route, 'method' | 'pattern'>,
  { ledger, address, principal }: { ledger: Ledger; address: string; principal?: Principal },
): Refusal {
  return { ledgerId: ledger.id, code, actor: principal?.id ?? null, subject: `${method} ${pattern}`, address };
}

function toTokenProblem({ reason, message }: TokenError): Problem {
  const again = { headers: { 'Retry-After': '1' } };
  switch (reason) {
    case 'malformed':
    case 'expired':
    case 'not_trusted':
      return unauthorized(message, true);
    case 'not_allowed':
      return notAllowed(message);
    case 'issuer_unavailable':
      return new Problem('issuer_unavailable', 'The keys of the issuer of tokens cannot be read. Try again.', again);
    case 'too_busy':
      return new Problem('too_busy', `${message} Try again.`, again);
  }
}

/** Whether a proxy says that it forwards the request: then other machines reach the service. */
function isForwarded({ headers }: IncomingMessage): boolean {
  return headers['x-forwarded-for'] !== undefined || headers['forwarded'] !== undefined;
}

function isAnother(own: string, named: string | null): boolean {
  return named !== null && named !== own;
}

const BEARER = /^Bearer +([\x21-\x7e]+)$/i;
const BASIC = /^Basic +([A-Za-z0-9+/]+={0,2})$/i;

/** The token of a Bearer header, or the user name of a Basic one; null if it is neither. */
function tokenOf(authorization: string): string | null {
  const bearer = BEARER.exec(authorization)?.[1];
  if (bearer !== undefined) return bearer;
  const basic = BASIC.exec(authorization)?.[1];
  return basic === undefined ? null : (Buffer.from(basic, 'base64').toString().split(':')[0] ?? null);
}
