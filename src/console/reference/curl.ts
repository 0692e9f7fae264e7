// The command that sends an example. Pure, so that tests need no browser.
import type { Operation, Parameter } from './document.ts';

export type Sample = {
  readonly name: string;
  /** Undefined: it has no body. */
  readonly body: unknown;
  /** The status and the body of its answer; null: the document has none. */
  readonly answer: { readonly status: string; readonly value: unknown } | null;
};

const JSON_TYPE = 'application/json';

/** The examples of an operation: each request with its answer. An operation without any has one that names no values. */
export function samplesOf({ json: { requestBody, responses } }: Operation): Sample[] {
  const bodies = requestBody?.content[JSON_TYPE]?.examples ?? {};
  const answers = Object.entries(responses).flatMap(([status, { content }]) =>
    Object.entries(content?.[JSON_TYPE]?.examples ?? {}).map(([name, { value }]) => ({ name, status, value })),
  );
  const names = new Set([...Object.keys(bodies), ...answers.map(({ name }) => name)]);
  if (names.size === 0) return [{ name: '', body: undefined, answer: null }];
  return [...names].map((name) => {
    const answer = answers.find((answer) => answer.name === name);
    return { name, body: bodies[name]?.value, answer: answer ? { status: answer.status, value: answer.value } : null };
  });
}

/** The command for a shell. It names the key as a variable, so that it can be shown to anybody. */
export function curlOf({ method, path, needsKey, json }: Operation, { body, answer }: Sample, base: URL): string {
  const { parameters = [], responses } = json;
  const waits = answer?.status === '200' && '202' in responses;
  const prefer = parameters.find(({ name }) => name === 'Prefer')?.schema?.examples?.[0];
  const takesIdempotencyKey = method === 'POST' && parameters.some(({ name }) => name === 'Idempotency-Key');
  const lines = [
    `curl -sS ${method === 'GET' || (method === 'POST' && body !== undefined) ? '' : `-X ${method} `}${quote(urlOf(path, parameters, { base, answer }))}`,
    needsKey && '-H "Authorization: Bearer $GOPHERPAY_KEY"',
    takesIdempotencyKey && '-H "Idempotency-Key: $(uuidgen)"',
    waits && prefer !== undefined && `-H ${quote(`Prefer: ${String(prefer)}`)}`,
    method !== 'GET' && method !== 'DELETE' && `-H 'Content-Type: ${JSON_TYPE}'`,
    body !== undefined && `-d ${quote(JSON.stringify(body))}`,
  ];
  return lines.filter((line) => line !== false).join(' \\\n  ');
}

function urlOf(
  path: string,
  parameters: readonly Parameter[],
  { base, answer }: { base: URL; answer: Sample['answer'] },
): string {
  const filled = path.replaceAll(/\{([^}]+)\}/g, (_whole, name: string) => {
    const example = parameters.find((parameter) => parameter.in === 'path' && parameter.name === name)?.example;
    return example === undefined ? name.toUpperCase() : encodeURIComponent(String(example));
  });
  const search = new URLSearchParams();
  for (const { name, in: place, example } of parameters) {
    if (place === 'query' && example !== undefined) search.set(name, String(example));
  }
  // The answer of a trial says so; the command must not do more than it did.
  if (Object(answer?.value).dry_run === true) search.set('dry_run', 'true');
  return `${new URL(`.${filled}`, base).href}${search.size === 0 ? '' : `?${search}`}`;
}

/** A text as one word of a shell. */
function quote(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
