// TLS of the listeners: their certificate, which can be replaced while they run, and the certificates of callers.
import { constants, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { RequestListener, Server, ServerOptions } from 'node:http';
import { createServer, Server as HttpsServer } from 'node:https';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { createSecureContext, type SecureContextOptions, TLSSocket } from 'node:tls';
import { certificateDigestOf } from '../../key-text.ts';
import { readSecretFile } from '../../secret-file.ts';

/** The paths of PEM files. */
export type TlsFiles = {
  readonly cert: string;
  readonly key: string;
  /** The authorities of callers; null: callers are not asked for a certificate. */
  readonly clientCa: string | null;
  readonly clientCertificates: 'optional' | 'required';
};

/** Browsers that have used HTTPS once do not use HTTP for a year. */
export const TRANSPORT_SECURITY = { name: 'Strict-Transport-Security', value: 'max-age=31536000' };

/** The TCP connection under each TLS connection, from the end of its handshake on. */
const transports = new WeakMap<Duplex, Socket>();
/** The certificate of each caller that was asked for. */
const certificates = new WeakMap<Duplex, string | null>();

/** The listeners share one certificate. */
export class ListenerTls {
  readonly #files: TlsFiles;
  readonly #servers = new Set<HttpsServer>();
  #context: SecureContextOptions;

  /** Throws an error of one sentence if a file cannot be used. */
  constructor(files: TlsFiles) {
    this.#files = files;
    this.#context = readContext(files);
  }

  /** `handshakeTimeoutMs`: a connection whose handshake takes longer is closed. */
  createServer(options: ServerOptions, handshakeTimeoutMs: number, answer: RequestListener): Server {
    const { clientCa, clientCertificates } = this.#files;
    const server = createServer(
      {
        ...options,
        ...this.#context,
        ALPNProtocols: ['http/1.1'],
        handshakeTimeout: handshakeTimeoutMs,
        requestCert: clientCa !== null,
        rejectUnauthorized: clientCa !== null && clientCertificates === 'required',
      },
      answer,
    );
    linkTransports(server);
    this.#servers.add(server);
    return server;
  }

  /**
   * Reads the files again, for new connections. Throws an error of one sentence if one cannot be used; then nothing
   * changes. A new context has new keys for session tickets, so a caller whose authority was removed cannot resume.
   */
  reload(): void {
    const context = readContext(this.#files);
    this.#context = context;
    for (const server of this.#servers) server.setSecureContext(context);
  }

  /** When the certificate expires. */
  get expiresAt(): string {
    return new X509Certificate(String(this.#context.cert)).validToDate.toISOString();
  }
}

function readContext({ cert: certFile, key: keyFile, clientCa }: TlsFiles): SecureContextOptions {
  const cert = readSecretFile('TLS_CERT', certFile);
  const key = readSecretFile('TLS_KEY', keyFile);
  const ca = clientCa === null ? {} : { ca: readAuthorities(clientCa) };
  // A caller may not renegotiate, which costs the server more than the caller.
  const context = {
    cert,
    key,
    ...ca,
    minVersion: 'TLSv1.2',
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
  } as const;
  try {
    createSecureContext(context);
  } catch (error) {
    throw new Error(
      `The certificate in ${certFile} and the key in ${keyFile} cannot be used (${reasonOf(error)}): set TLS_CERT and TLS_KEY to PEM files that belong together.`,
      { cause: error },
    );
  }
  return context;
}

/** Node ignores a text that is not a certificate; then no caller could connect. */
function readAuthorities(path: string): Buffer {
  try {
    const pem = readFileSync(path);
    void new X509Certificate(pem);
    return pem;
  } catch (error) {
    throw new Error(
      `The certificates in ${path} cannot be read (${reasonOf(error)}): set TLS_CLIENT_CA to a PEM file of authorities.`,
      { cause: error },
    );
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error);
}

/** Node does not say which TCP connection is under a TLS connection. Both have the same two ends. */
function linkTransports(server: Server): void {
  const handshaking = new Map<string, Socket>();
  server.on('connection', (socket: Socket) => {
    const ends = endsOf(socket);
    handshaking.set(ends, socket);
    socket.once('close', () => {
      if (handshaking.get(ends) === socket) handshaking.delete(ends);
    });
  });
  server.on('secureConnection', (secure: TLSSocket) => {
    const ends = endsOf(secure);
    const socket = handshaking.get(ends);
    if (socket !== undefined) transports.set(secure, socket);
    handshaking.delete(ends);
  });
}

function endsOf({ localAddress, localPort, remoteAddress, remotePort }: Socket): string {
  return `${localAddress} ${localPort} ${remoteAddress} ${remotePort}`;
}

/** The TCP connection under a connection: itself, if that has no TLS. */
export function transportOf(socket: Duplex): Duplex {
  return transports.get(socket) ?? socket;
}

/** Whether the TLS handshake of a connection is not over, or has failed. */
export function isHandshaking(server: Server, socket: Duplex): boolean {
  return server instanceof HttpsServer && !transports.has(socket);
}

/**
 * The SHA-256 fingerprint of the certificate that a caller has proved to own, in lower-case hexadecimal; null if it has
 * none, or one of an authority that TLS_CLIENT_CA does not name. Found once for each connection.
 */
export function clientCertificateOf(socket: Duplex): string | null {
  const known = certificates.get(socket);
  if (known !== undefined) return known;
  // A caller without a certificate that resumes its session counts as authorized.
  const found = socket instanceof TLSSocket && socket.authorized ? socket.getPeerX509Certificate() : undefined;
  const fingerprint = found ? certificateDigestOf(found) : null;
  certificates.set(socket, fingerprint);
  return fingerprint;
}
