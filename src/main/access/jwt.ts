// Callers that have a token (JWT) of an OIDC issuer instead of a key. docs/decisions/0035-tokens.md has the reasons.
import { decodeJwt, decodeProtectedHeader, errors, type JWTPayload, jwtVerify } from 'jose';
import { z } from 'zod';
import { isScope, NO_LIMITS, type Principal } from '../../domain/access.ts';
import { isLedgerName } from '../../domain/ledger.ts';
import { IssuerKeys } from './issuer.ts';
import { TokenError } from './token-error.ts';

const TOKEN_LENGTH_MAX = 8192;
/** How many verified tokens are remembered, and how long they are together. */
const REMEMBERED_MAX = 10_000;
const REMEMBERED_LENGTH_MAX = 16 * 1024 * 1024;
/** A remembered token is verified again after this time, so that a key that the issuer removed is found out. */
const REMEMBERED_MS = 10 * 60_000;
/** How many tokens may be verified at once. */
const VERIFICATIONS_MAX = 1000;
const CLOCK_TOLERANCE_SECONDS = 5;
/** RFC 9068 and RFC 7519: media types, without regard to case, with or without `application/`. */
const TYPES = /^(?:application\/)?(?:at\+)?jwt$/i;
const SUBJECT = /^[\x21-\x7e]{1,100}$/;

const Header = z.object({ alg: z.string(), kid: z.string().optional(), typ: z.string().optional() });
const Claims = z.object({
  iss: z.string(),
  aud: z.union([z.string(), z.array(z.string())]),
  exp: z.number(),
  nbf: z.number().optional(),
  sub: z.string(),
});

export type JwtSettings = {
  readonly issuer: string;
  readonly audience: string;
  readonly algorithms: readonly string[];
  /** The claim with the scopes: an array, or a text with spaces between them. */
  readonly scopesClaim: string;
  /** The claim with the name of the ledger, or `*` for all. */
  readonly ledgerClaim: string;
  readonly clockToleranceSeconds?: number;
};

/** `nowMs` is monotonic; `wallMs` is the time of day. */
export type Clock = { readonly nowMs: () => number; readonly wallMs: () => number };

/** For tests. */
export type JwtOptions = {
  readonly clock?: Clock;
  readonly fetchTimeoutMs?: number;
  readonly rememberedMax?: number;
  readonly rememberedLengthMax?: number;
};

type Remembered = { readonly principal: Principal; readonly untilMs: number };

export class JwtVerifier {
  readonly #settings: JwtSettings;
  readonly #toleranceSeconds: number;
  readonly #clock: Clock;
  readonly #rememberedMax: number;
  readonly #rememberedLengthMax: number;
  readonly #keys: IssuerKeys;
  readonly #running = new Map<string, Promise<Principal>>();
  readonly #remembered = new Map<string, Remembered>();
  /** Until when the token of each caller is valid. */
  readonly #validUntilMs = new WeakMap<Principal, number>();
  #rememberedLength = 0;
  /** Kept, because a new iterator would pass all entries that were deleted at the front. */
  #oldest: MapIterator<string>;

  constructor(settings: JwtSettings, options: JwtOptions = {}) {
    this.#settings = settings;
    this.#toleranceSeconds = settings.clockToleranceSeconds ?? CLOCK_TOLERANCE_SECONDS;
    this.#clock = options.clock ?? { nowMs: () => performance.now(), wallMs: () => Date.now() };
    this.#rememberedMax = options.rememberedMax ?? REMEMBERED_MAX;
    this.#rememberedLengthMax = options.rememberedLengthMax ?? REMEMBERED_LENGTH_MAX;
    this.#keys = new IssuerKeys(settings.issuer, this.#clock.nowMs, options.fetchTimeoutMs);
    this.#oldest = this.#remembered.keys();
  }

  /** How many verified tokens are remembered. */
  get size(): number {
    return this.#remembered.size;
  }

  /** The caller of a token that was verified before. Undefined: `verify` decides. */
  recall(token: string): Principal | undefined {
    const remembered = this.#remembered.get(token);
    if (remembered === undefined) return undefined;
    if (this.#clock.nowMs() < remembered.untilMs) return remembered.principal;
    this.#forget(token);
    return undefined;
  }

  /** The caller of a token. Throws `TokenError`. What costs little is checked first, then what needs the signature. */
  async verify(token: string): Promise<Principal> {
    const running = this.#running.get(token);
    if (running !== undefined) return await running;
    const header = this.#inspect(token);
    if (this.#running.size >= VERIFICATIONS_MAX) {
      throw new TokenError('too_busy', 'Too many tokens are being verified.');
    }
    const verification = this.#check(token, header).finally(() => this.#running.delete(token));
    this.#running.set(token, verification);
    return await verification;
  }

  /** Refuses without a signature check what no signature could make valid, and returns the header. */
  #inspect(token: string): z.infer<typeof Header> {
    if (token.length > TOKEN_LENGTH_MAX) throw new TokenError('malformed', 'The token is too long.');
    const { issuer, audience, algorithms } = this.#settings;
    const header = parse(Header, () => decodeProtectedHeader(token));
    if (!algorithms.includes(header.alg)) throw new TokenError('not_trusted', 'The algorithm is not allowed.');
    if (header.typ !== undefined && !TYPES.test(header.typ)) {
      throw new TokenError('not_trusted', 'This type of token is not accepted.');
    }
    const claims = parse(Claims, () => decodeJwt(token));
    if (claims.iss !== issuer) throw new TokenError('not_trusted', 'The token is that of another issuer.');
    const audiences = typeof claims.aud === 'string' ? [claims.aud] : claims.aud;
    if (!audiences.includes(audience)) throw new TokenError('not_trusted', 'The token is for another audience.');
    if (this.#secondsLeft(claims.exp) <= 0) throw expired();
    return header;
  }

  async #check(token: string, header: z.infer<typeof Header>): Promise<Principal> {
    const key = await this.#keys.find(header);
    const payload = await this.#verifySignature(token, key);
    const principal = this.#toPrincipal(payload);
    this.#remember(token, principal, Claims.parse(payload).exp);
    return principal;
  }

  async #verifySignature(token: string, key: CryptoKey): Promise<JWTPayload> {
    const { issuer, audience, algorithms } = this.#settings;
    try {
      const { payload } = await jwtVerify(token, key, {
        issuer,
        audience,
        algorithms: [...algorithms],
        requiredClaims: ['exp', 'sub'],
        clockTolerance: this.#toleranceSeconds,
        currentDate: new Date(this.#clock.wallMs()),
      });
      return payload;
    } catch (error) {
      if (error instanceof errors.JWTExpired) throw expired();
      if (error instanceof errors.JWTClaimValidationFailed && error.claim === 'nbf') {
        throw new TokenError('not_trusted', 'The token is not valid yet.');
      }
      throw new TokenError('not_trusted', 'The signature of the token cannot be verified.', { cause: error });
    }
  }

  #toPrincipal(payload: JWTPayload): Principal {
    const { sub = '', [this.#settings.ledgerClaim]: ledger, [this.#settings.scopesClaim]: scope = [] } = payload;
    if (!SUBJECT.test(sub)) throw new TokenError('not_allowed', 'The subject of the token cannot name a caller.');
    if (typeof ledger !== 'string' || (ledger !== '*' && !isLedgerName(ledger))) {
      throw new TokenError('not_allowed', 'The token names no ledger.');
    }
    const scopes: unknown = typeof scope === 'string' ? scope.split(' ') : scope;
    if (!Array.isArray(scopes)) throw new TokenError('not_allowed', 'The scopes of the token are no text and no list.');
    return {
      id: `jwt:${sub}`,
      ledger: ledger === '*' ? null : ledger,
      // Scopes of other services are ignored.
      scopes: new Set(scopes.filter((scope) => typeof scope === 'string').filter(isScope)),
      limits: NO_LIMITS,
    };
  }

  #secondsLeft(exp: number): number {
    return exp + this.#toleranceSeconds - Math.floor(this.#clock.wallMs() / 1000);
  }

  /** Whether the token of a caller has not expired since it was verified. */
  isValid(principal: Principal): boolean {
    return this.#clock.nowMs() < (this.#validUntilMs.get(principal) ?? 0);
  }

  #remember(token: string, principal: Principal, exp: number): void {
    this.#forget(token);
    const leftMs = (exp + this.#toleranceSeconds) * 1000 - this.#clock.wallMs();
    this.#remembered.set(token, { principal, untilMs: this.#clock.nowMs() + Math.min(leftMs, REMEMBERED_MS) });
    this.#validUntilMs.set(principal, this.#clock.nowMs() + leftMs);
    this.#rememberedLength += token.length;
    while (this.#remembered.size > this.#rememberedMax || this.#rememberedLength > this.#rememberedLengthMax) {
      const { value } = this.#oldest.next();
      if (value === undefined) this.#oldest = this.#remembered.keys();
      else this.#forget(value);
    }
  }

  #forget(token: string): void {
    if (this.#remembered.delete(token)) this.#rememberedLength -= token.length;
  }
}

/** A part of a token, of which nothing is proved yet. */
function parse<Part>(schema: z.ZodType<Part>, decode: () => unknown): Part {
  try {
    return schema.parse(decode());
  } catch (error) {
    throw new TokenError('malformed', 'The token is no JWT with the claims iss, aud, exp and sub.', { cause: error });
  }
}

function expired(): TokenError {
  return new TokenError('expired', 'The token has expired.');
}
