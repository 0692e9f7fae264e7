// Answers requests that Node's parser could not read, in the order of the requests on a connection.
import { randomUUIDv7 } from 'node:crypto';
import { type ServerResponse, STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import { Problem, type ProblemCode } from './problem.ts';
import { SECURITY_LINES, sendProblem } from './send.ts';
import { TRANSPORT_SECURITY } from './tls.ts';

/** The latest request of a connection: its id, and the response to it. */
export type Latest = { readonly response: ServerResponse; readonly requestId: string };

/** A valid request line with any method: Node's parser stops at an unknown method (RFC 9112, section 3). */
const REQUEST_LINE = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+ [^ ]+ HTTP\/1\.[01]\r?$/;
const LINE_MAX = 4096;

const MALFORMED: Readonly<Record<string, ProblemCode>> = {
  HPE_HEADER_OVERFLOW: 'headers_too_large',
  ERR_HTTP_REQUEST_TIMEOUT: 'request_timeout',
};

type ParseError = NodeJS.ErrnoException & { rawPacket?: Buffer; bytesParsed?: number };

export function toMalformed(error: ParseError): Problem {
  if (error.code === 'HPE_INVALID_METHOD' && REQUEST_LINE.test(lineOf(error))) {
    return new Problem(
      'method_not_implemented',
      'There is no such method. The names of methods are in capital letters.',
    );
  }
  return new Problem(MALFORMED[error.code ?? ''] ?? 'malformed_http', 'The request could not be read.');
}

/** The line in which the parser stopped, or a part of a very long one. */
function lineOf({ rawPacket, bytesParsed = 0 }: ParseError): string {
  const text = rawPacket?.toString('latin1', Math.max(0, bytesParsed - LINE_MAX), bytesParsed + LINE_MAX) ?? '';
  const start = text.lastIndexOf('\n', Math.min(bytesParsed, LINE_MAX) - 1) + 1;
  const end = text.indexOf('\n', start);
  return end === -1 ? '' : text.slice(start, end);
}

/**
 * Refuses a request that Node's parser could not read. Earlier requests on the connection are answered first. Otherwise
 * their caller would read the refusal as their answer, and an accepted transfer as a refused one.
 */
export function refuseInOrder(
  latest: Latest | undefined,
  socket: Duplex,
  problem: Problem,
  { lingerTimeoutMs }: { lingerTimeoutMs: number },
): void {
  const response = latest?.response;
  // The rest of a request that is already answered: a second answer would be read as that of the next request.
  if (response?.writableFinished && !response.req.complete) socket.end();
  else if (!latest || !response || response.writableFinished || response.destroyed) refuseMalformed(socket, problem);
  else if (response.req.complete) response.once('finish', () => refuseMalformed(socket, problem));
  else if (response.headersSent) response.once('finish', () => socket.end());
  else {
    // The body of this request could not be read.
    response.setHeader('Connection', 'close');
    sendProblem(response.req, response, problem, { requestId: latest.requestId, lingerTimeoutMs });
  }
}

/** Answers on a connection without a request, and closes it. */
export function refuseMalformed(socket: Duplex, problem: Problem): void {
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const requestId = randomUUIDv7();
  const body = problem.render(requestId);
  socket.end(
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}\r\nConnection: close\r\nX-Request-ID: ${requestId}\r\n` +
      SECURITY_LINES +
      (socket instanceof TLSSocket ? `${TRANSPORT_SECURITY.name}: ${TRANSPORT_SECURITY.value}\r\n` : '') +
      `Content-Type: application/problem+json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}
