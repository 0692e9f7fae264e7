// A collector of traces: an HTTP server on loopback that keeps the spans it gets, and answers as the test says. It decodes
// OTLP's protobuf by hand, from the field numbers of opentelemetry-proto, so that it shares nothing with the SDK.
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http';
import { onEnd, type Scope } from './cleanup.ts';
import { until } from './until.ts';

export type Value = string | number | boolean | readonly Value[];
export type ReceivedSpan = {
  readonly traceId: string;
  readonly spanId: string;
  /** Empty: it has no parent. */
  readonly parentId: string;
  readonly name: string;
  readonly kind: 'internal' | 'server' | 'client' | 'other';
  /** Nanoseconds since the epoch. */
  readonly start: bigint;
  readonly end: bigint;
  readonly attributes: Readonly<Record<string, Value>>;
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[];
  readonly events: number;
  readonly isError: boolean;
  readonly statusMessage: string;
  readonly resource: Readonly<Record<string, Value>>;
};

export type Collector = {
  readonly url: string;
  readonly spans: ReceivedSpan[];
  /** The bodies and headers of all requests, those that were answered with an error too. */
  readonly bodies: Buffer[];
  readonly headers: IncomingHttpHeaders[];
  readonly paths: string[];
  /** How the next requests are answered; 200 by default. */
  answer: (response: ServerResponse) => void;
  /** The spans with a name, once there are as many. */
  named: (name: string, count?: number) => Promise<readonly ReceivedSpan[]>;
};

export async function startCollector(scope: Scope): Promise<Collector> {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks);
      collector.bodies.push(body);
      collector.headers.push(request.headers);
      collector.paths.push(request.url ?? '');
      collector.spans.push(...decode(body));
      collector.answer(response);
    });
  });
  const collector: Collector = {
    url: `http://127.0.0.1:${await listen(server)}`,
    spans: [],
    bodies: [],
    headers: [],
    paths: [],
    answer: (response) => void response.writeHead(200).end(),
    named: async (name, count = 1) => {
      const find = (): readonly ReceivedSpan[] => collector.spans.filter((span) => span.name === name);
      await until(() => find().length >= count, { what: `${count} spans ${name}` });
      return find();
    },
  };
  onEnd(scope, () => {
    server.closeAllConnections();
    server.close();
  });
  return collector;
}

async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('The collector has no port.');
  return address.port;
}

/** The fields of a protobuf message, by number. Varints and fixed integers are numbers of any size; the rest is bytes. */
type Message = ReadonlyMap<number, readonly (bigint | Buffer)[]>;

function parse(bytes: Buffer): Message {
  const fields = new Map<number, (bigint | Buffer)[]>();
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at] ?? 0;
      at += 1;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  const take = (length: number): Buffer => {
    at += length;
    return bytes.subarray(at - length, at);
  };
  while (at < bytes.length) {
    const tag = Number(varint());
    const value = [varint, () => take(8).readBigUInt64LE(), () => take(Number(varint())), null, null, () => take(4)];
    const read = value[tag & 7];
    if (!read) throw new Error(`There is no wire type ${tag & 7}.`);
    fields.set(tag >> 3, [...(fields.get(tag >> 3) ?? []), read()]);
  }
  return fields;
}

const messages = (message: Message, field: number): Buffer[] =>
  (message.get(field) ?? []).filter((value) => typeof value !== 'bigint');
const bytesOf = (message: Message, field: number): Buffer => messages(message, field)[0] ?? Buffer.alloc(0);
const textOf = (message: Message, field: number): string => bytesOf(message, field).toString();
const idOf = (message: Message, field: number): string => bytesOf(message, field).toString('hex');
const numberOf = (message: Message, field: number): bigint => {
  const [value] = message.get(field) ?? [];
  return typeof value === 'bigint' ? value : 0n;
};

/** ExportTraceServiceRequest { ResourceSpans { Resource = 1, ScopeSpans = 2 { Span = 2 } } = 1 } */
function decode(body: Buffer): ReceivedSpan[] {
  return messages(parse(body), 1).flatMap((bytes) => {
    const ofResource = parse(bytes);
    const resource = attributesOf(parse(bytesOf(ofResource, 1)), 1);
    return messages(ofResource, 2).flatMap((scope) =>
      messages(parse(scope), 2).map((span) => ({ ...decodeSpan(parse(span)), resource })),
    );
  });
}

const KINDS = ['other', 'internal', 'server', 'client'] as const;
const ERROR = 2n;

function decodeSpan(span: Message): Omit<ReceivedSpan, 'resource'> {
  const status = parse(bytesOf(span, 15));
  return {
    traceId: idOf(span, 1),
    spanId: idOf(span, 2),
    parentId: idOf(span, 4),
    name: textOf(span, 5),
    kind: KINDS[Number(numberOf(span, 6))] ?? 'other',
    start: numberOf(span, 7),
    end: numberOf(span, 8),
    attributes: attributesOf(span, 9),
    events: messages(span, 11).length,
    links: messages(span, 13).map((link) => ({ traceId: idOf(parse(link), 1), spanId: idOf(parse(link), 2) })),
    isError: numberOf(status, 3) === ERROR,
    statusMessage: textOf(status, 2),
  };
}

function attributesOf(message: Message, field: number): Record<string, Value> {
  const pairs = messages(message, field).map((bytes) => parse(bytes));
  return Object.fromEntries(pairs.map((pair) => [textOf(pair, 1), valueOf(parse(bytesOf(pair, 2)))]));
}

/** AnyValue { string = 1, bool = 2, int = 3, double = 4, array = 5 { AnyValue = 1 } } */
function valueOf(value: Message): Value {
  if (value.has(1)) return textOf(value, 1);
  if (value.has(2)) return numberOf(value, 2) === 1n;
  if (value.has(3)) return Number(BigInt.asIntN(64, numberOf(value, 3)));
  if (value.has(5)) return messages(parse(bytesOf(value, 5)), 1).map((bytes) => valueOf(parse(bytes)));
  throw new Error('The attribute has a value of another type.');
}
