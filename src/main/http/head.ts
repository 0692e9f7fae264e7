// Checks the head of a request first: its framing, its headers, the host that it names, and the origin of the page that
// sent it. A request that two parsers could read differently is refused.
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { type AllowedHosts, type Authority, parseAuthority } from './hosts.ts';
import type { AllowedOrigins } from './origins.ts';
import { Problem } from './problem.ts';

/** The form of a request id that a caller may choose. */
export const REQUEST_ID_FORM = /^[A-Za-z0-9][A-Za-z0-9._:/+=@-]{0,127}$/;

/** Headers that may come once only: two are a mistake or an attack. Node's parser would use the first. */
const SINGLE_HEADERS = new Set(['host', 'authorization', 'content-type', 'idempotency-key', 'x-request-id', 'prefer']);
const ABSOLUTE_FORM = /^https?:\/\/([^/?#]*)(.*)$/i;
const DEFAULT_PORTS: Readonly<Record<string, string>> = { http: '80', https: '443' };

/** `path` is `*` for the asterisk form (`OPTIONS *`). */
export type Target = { readonly path: string; readonly search: string };

/** Returns the target of the request. Throws the problem of the first error. */
export function readHead(
  request: IncomingMessage,
  { hosts, origins }: { hosts: AllowedHosts; origins: AllowedOrigins },
): Target {
  refuseHeaders(request);
  const { authority, target } = splitTarget(request);
  if (!hosts.allows(authority.host)) {
    throw new Problem(
      'host_not_allowed',
      `The host ${authority.host.slice(0, 100)} is not allowed: add it to the setting ALLOWED_HOSTS, or use an address.`,
    );
  }
  if (!origins.allows(request.headers.origin)) refuseOtherOrigins(request, authority, hosts);
  const mark = target.indexOf('?');
  return mark === -1 ? { path: target, search: '' } : { path: target.slice(0, mark), search: target.slice(mark + 1) };
}

function refuseHeaders({ headers, httpVersion, rawHeaders }: IncomingMessage): void {
  // Node's parser also accepts 0.9 and 2.0, which have another syntax.
  if (httpVersion !== '1.1' && httpVersion !== '1.0') throw malformed('The request must be HTTP/1.1.');
  const coding = headers['transfer-encoding'];
  // Node's parser also accepts other codings before the last one, and chunks in HTTP/1.0. A proxy may find another end
  // of the body (request smuggling), so the connection is closed (RFC 9112, section 6.1).
  if (coding !== undefined && (coding.toLowerCase() !== 'chunked' || httpVersion === '1.0')) {
    throw malformed('The only supported transfer coding is chunked, in HTTP/1.1.');
  }
  if (headers.expect !== undefined && headers.expect.toLowerCase() !== '100-continue') {
    throw new Problem('expectation_failed', 'The only supported expectation is 100-continue.');
  }
  if (headers.host === undefined && httpVersion === '1.1') {
    throw new Problem('invalid_request', 'The header `Host` is missing.');
  }
  const seen = new Set<string>();
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]?.toLowerCase() ?? '';
    if (!SINGLE_HEADERS.has(name)) continue;
    if (seen.has(name)) throw new Problem('invalid_request', `The header \`${name}\` may appear only once.`);
    seen.add(name);
  }
}

function malformed(detail: string): Problem {
  return new Problem('malformed_http', detail, { headers: { Connection: 'close' } });
}

/**
 * The host that the request names, and its target without the host. The host of an absolute-form target outranks
 * `Host`.
 */
function splitTarget({ url = '', method, headers }: IncomingMessage): { authority: Authority; target: string } {
  const own = parseAuthority(headers.host ?? '');
  if (own === null) throw new Problem('invalid_request', 'The header `Host` must be a host, optionally with a port.');
  if (url.startsWith('/') || (url === '*' && method === 'OPTIONS')) return { authority: own, target: url };
  const [, named, rest = ''] = ABSOLUTE_FORM.exec(url) ?? [];
  const authority = named === undefined ? null : parseAuthority(named);
  if (authority === null || authority.host === '') {
    throw new Problem('invalid_request', 'The request target must be a path, or an http URL without a user.');
  }
  if (rest === '' && method === 'OPTIONS') return { authority, target: '*' };
  return { authority, target: rest.startsWith('/') ? rest : `/${rest}` };
}

/**
 * Refuses requests from pages of another origin, including other ports of this machine: a form needs no permission to
 * send a POST, and a fetch needs none to open a stream. A link to a document may be followed, because the page with the
 * link cannot read the answer.
 */
function refuseOtherOrigins({ method, headers }: IncomingMessage, own: Authority, hosts: AllowedHosts): void {
  const { origin } = headers;
  const site = headers['sec-fetch-site'] ?? 'none';
  const isOwnSite = site === 'same-origin' || site === 'none' || isLink(method, headers);
  if (isOwnSite && (origin === undefined || isOwnOrigin(origin, own, hosts))) return;
  throw new Problem('foreign_origin', 'Pages of other origins may not use the service.');
}

function isLink(method: string | undefined, headers: IncomingHttpHeaders): boolean {
  const isRead = method === 'GET' || method === 'HEAD';
  return isRead && headers['sec-fetch-mode'] === 'navigate' && headers['sec-fetch-dest'] === 'document';
}

/** A proxy may have replaced `Host`; then the operator names the public host in ALLOWED_HOSTS. */
function isOwnOrigin(origin: string, own: Authority, hosts: AllowedHosts): boolean {
  const [, scheme = '', rest] = /^(https?):\/\/(.+)$/.exec(origin) ?? [];
  const authority = rest === undefined ? null : parseAuthority(rest);
  if (authority === null) return false;
  const defaultPort = DEFAULT_PORTS[scheme];
  const isSame = authority.host === own.host && (authority.port || defaultPort) === (own.port || defaultPort);
  return isSame || hosts.names(authority.host);
}
