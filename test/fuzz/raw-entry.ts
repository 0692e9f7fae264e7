// What an entry of the corpus of raw requests is made of.

/** The next step: send these bytes, wait, end our half of the connection, or reset it. */
export type Step = string | { readonly waitMs: number } | { readonly ends: 'half' | 'all' };

export const FIN: Step = { ends: 'half' };
export const RST: Step = { ends: 'all' };

export type Entry = {
  readonly name: string;
  readonly steps: readonly Step[];
  /** The status of each answer, in order, or those that are allowed. */
  readonly answers: readonly (number | readonly number[])[];
  /** Whether the service closes the connection, or keeps it; a following request is then answered. */
  readonly afterwards: 'closed' | 'open';
  /** How many transfers are stored: exactly, or one of these. */
  readonly stored: number | readonly number[];
  /** Which answers are to HEAD, and so have no body. */
  readonly heads?: readonly number[];
  /** The X-Request-ID of each answer, where the requests have one. */
  readonly ids?: readonly string[];
  /** The answers may be lost on their way, the last ones first. */
  readonly unheard?: boolean;
  /** Takes as long as the service's timeouts: not worth mutating. */
  readonly slow?: boolean;
};

/** The settings that the entries are made for. */
export const RAW_ENV = {
  THREADS: '2',
  BODY_BYTES_MAX: '65536',
  REQUEST_TIMEOUT_MS: '1000',
  LOG_LEVEL: 'error',
};
export const BODY_BYTES_MAX = Number(RAW_ENV.BODY_BYTES_MAX);

export const GET = 'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n';
export const JSON_HEAD = 'POST /transfers HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n';

/** One chunk of this content. */
export function chunk(content: string, extension = ''): string {
  return `${content.length.toString(16)}${extension}\r\n${content}\r\n`;
}

export const refused = (name: string, bytes: string, status: number | readonly number[] = 400): Entry => ({
  name,
  steps: [bytes],
  answers: [status],
  afterwards: 'closed',
  stored: 0,
});
export const answered = (name: string, bytes: string, status: number = 200): Entry => ({
  name,
  steps: [bytes],
  answers: [status],
  afterwards: 'open',
  stored: 0,
});
export const last = (name: string, bytes: string): Entry => ({
  name,
  steps: [bytes],
  answers: [200],
  afterwards: 'closed',
  stored: 0,
});
export const withHead = (line: string): string => GET.replace('Host: x\r\n', `Host: x\r\n${line}\r\n`);
export const drip = (text: string, waitMs: number): Step[] =>
  Array.from(text).flatMap((character) => [character, { waitMs }]);

export const TLS_CLIENT_HELLO =
  '\u0016\u0003\u0001\u0000\u00a5\u0001\u0000\u0000\u00a1\u0003\u0003' +
  `${'\u0042'.repeat(32)}\u0000\u0000\u0002\u0013\u0001\u0001\u0000\u0000\u0076${'\u0007'.repeat(118)}`;

/** Nothing in here orders anything. */
