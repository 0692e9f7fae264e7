// Why a token gives no access.

/**
 * - `malformed`: it is too long, is no JWT, or lacks a claim or has one of the wrong type.
 * - `expired`: its time is over.
 * - `not_trusted`: another issuer, audience, type or algorithm, a key that the issuer does not have, a wrong signature,
 *   or a time that has not come.
 * - `not_allowed`: the issuer vouches for it, but its claims name no caller or no ledger of this service.
 * - `issuer_unavailable`: the issuer's keys cannot be read.
 * - `too_busy`: too many other tokens are being verified.
 */
export type TokenReason = 'malformed' | 'expired' | 'not_trusted' | 'not_allowed' | 'issuer_unavailable' | 'too_busy';

/** The message is a sentence for the log and the caller. It quotes nothing of the token. */
export class TokenError extends Error {
  readonly reason: TokenReason;

  constructor(reason: TokenReason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'TokenError';
    this.reason = reason;
  }
}
