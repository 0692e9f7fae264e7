// TLS of a connection to the database: whether it is required, what is verified, and what to do after an error of it.
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { BlockList, isIP } from 'node:net';
import { type ConnectionOptions, TLSSocket } from 'node:tls';
import { SessionError, toError } from './errors.ts';

/** The settings DB_SSL_MODE and DB_SSL_ROOT_CERT, or the parameters of a URL in their place. */
export type TlsSettings = { readonly mode?: string | undefined; readonly rootCert?: string | undefined };

type Mode = 'disable' | 'no-verify' | 'verify-ca' | 'verify-full';

/**
 * URLs of hosting providers have `sslmode=require`, which libpq does not verify and pg 8 does: it verifies here. The
 * values of `ssl` are those of pg.
 */
const MODES: Readonly<Record<string, Mode>> = {
  disable: 'disable',
  false: 'disable',
  0: 'disable',
  'no-verify': 'no-verify',
  require: 'verify-full',
  true: 'verify-full',
  1: 'verify-full',
  'verify-ca': 'verify-ca',
  'verify-full': 'verify-full',
};

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

/** Parameters that are read here. pg would read a file that is missing here, and print a warning for some modes. */
const PARAMETER = /^(ssl|sslmode|sslrootcert|uselibpqcompat)=/;

/** Takes the parameters of TLS out of a URL. */
export function splitTls(url: string): { rest: string; tls: TlsSettings } {
  const [, base = '', search] = /^([^?]*)(?:\?([^]*))?$/.exec(url) ?? [];
  if (search === undefined) return { rest: url, tls: {} };
  const parameters = search.split('&');
  const others = parameters.filter((parameter) => !PARAMETER.test(parameter));
  const own = new URLSearchParams(parameters.filter((parameter) => PARAMETER.test(parameter)).join('&'));
  const tls = {
    mode: own.get('sslmode') ?? own.get('ssl') ?? undefined,
    rootCert: own.get('sslrootcert') ?? undefined,
  };
  return { rest: others.length === 0 ? base : `${base}?${others.join('&')}`, tls };
}

/**
 * The options of TLS for a host; false for none. Verifies by default, except on this machine. `clientOptions`: the URL
 * has options of a client that uses TLS.
 * Throws a SessionError that states the remedy.
 */
export function tlsOptionsOf(
  host: string,
  { own, url, clientOptions }: { own: TlsSettings; url: TlsSettings; clientOptions: boolean },
): ConnectionOptions | false {
  // As in libpq: a Unix socket has no TLS.
  if (host.startsWith('/')) return false;
  const modes = [own.mode, url.mode].flatMap((mode) => (mode === undefined ? [] : [parseMode(mode)]));
  refuseTwo('DB_SSL_MODE', 'sslmode', modes);
  const rootCerts = [own.rootCert, url.rootCert].filter((path) => path !== undefined);
  refuseTwo('DB_SSL_ROOT_CERT', 'sslrootcert', rootCerts);
  const mode = modes[0] ?? (isOnMachine(host) && !clientOptions ? 'disable' : 'verify-full');
  if (mode === 'disable') return false;
  const ca = rootCerts[0] === undefined ? {} : { ca: readRootCert(rootCerts[0]) };
  // Stated always: otherwise the variable NODE_TLS_REJECT_UNAUTHORIZED could switch off verification.
  const options = { ...ca, minVersion: 'TLSv1.2', rejectUnauthorized: mode !== 'no-verify' } as const;
  if (mode !== 'verify-ca') return options;
  if (rootCerts.length === 0) {
    throw new SessionError(
      'The TLS mode verify-ca accepts any host with a certificate of the authority: name a private one with DB_SSL_ROOT_CERT, or use verify-full.',
    );
  }
  return { ...options, checkServerIdentity: () => undefined };
}

function parseMode(text: string): Mode {
  const mode = Object.hasOwn(MODES, text) ? MODES[text] : undefined;
  if (mode !== undefined) return mode;
  throw new SessionError(
    `The TLS mode "${text}" of the database is not supported: use disable, no-verify, verify-ca or verify-full.`,
  );
}

function refuseTwo(setting: string, parameter: string, [one, other = one]: readonly string[]): void {
  if (one === other) return;
  throw new SessionError(
    `The setting ${setting} is ${one}, and the parameter ${parameter} of DATABASE_URL means ${other}: remove one of them.`,
  );
}

/** Whether a host is this machine, whose traffic does not leave it. */
function isOnMachine(host: string): boolean {
  const family = isIP(host);
  if (family === 0) return host.toLowerCase() === 'localhost';
  return LOOPBACK.check(host, family === 4 ? 'ipv4' : 'ipv6');
}

/** Node ignores a text that is not a certificate, and would then trust no authority. */
function readRootCert(path: string): Buffer {
  try {
    const pem = readFileSync(path);
    // Parsing throws if the file does not begin with a certificate.
    return new X509Certificate(pem).raw.length > 0 ? pem : Buffer.alloc(0);
  } catch (error) {
    throw new SessionError(
      `The certificates in ${path} cannot be read (${toError(error).message}): name a PEM file of certificate authorities with DB_SSL_ROOT_CERT.`,
      { cause: error },
    );
  }
}

/** Whether the other end has proved that it is the database. */
export function isVerified(stream: unknown): boolean {
  return stream instanceof TLSSocket && stream.authorized;
}

/** pg's errors for a server without TLS have no code. */
const NO_TLS = /^(The server does not support SSL connections|There was an error establishing an SSL connection)$/;

/** An error of TLS as a SessionError that states the remedy; any other error unchanged. */
export function explainTls(error: unknown, stream: unknown): unknown {
  const { message } = toError(error);
  if (NO_TLS.test(message)) {
    return new SessionError(
      'The database does not offer TLS, which is the default off this machine: switch on ssl in its postgresql.conf, or set DB_SSL_MODE=disable if the network itself is encrypted.',
      { cause: error },
    );
  }
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return new SessionError(
      'The certificate of the database is for another host: name the host as its certificate does, or give it a certificate for that name.',
      { cause: error },
    );
  }
  if (stream instanceof TLSSocket && code !== '' && code === String(stream.authorizationError)) {
    return new SessionError(
      `The certificate of the database is refused (${message}): name the file of its certificate authority with DB_SSL_ROOT_CERT, or renew the certificate.`,
      { cause: error },
    );
  }
  if (!code.startsWith('ERR_SSL_')) return error;
  return new SessionError(
    `The TLS handshake with the database failed (${code}): let the database offer TLS 1.2 or newer, and check its certificate.`,
    { cause: error },
  );
}
