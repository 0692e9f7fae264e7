// The OpenAPI document of the service, as far as the reference shows it, and the operations in it.

export type Schema = {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly format?: string;
  readonly const?: unknown;
  readonly default?: unknown;
  readonly enum?: readonly unknown[];
  readonly examples?: readonly (string | number)[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | Schema;
  readonly propertyNames?: Schema;
  readonly maxProperties?: number;
  readonly items?: Schema;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly allOf?: readonly Schema[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
};

export type Parameter = {
  readonly name: string;
  readonly in: 'path' | 'query' | 'header' | 'cookie';
  readonly required?: boolean;
  readonly description?: string;
  readonly schema?: Schema;
  readonly example?: string | number | boolean;
};

export type Header = { readonly $ref?: string; readonly description?: string; readonly schema?: Schema };
export type Example = { readonly summary?: string; readonly value?: unknown };
export type Media = { readonly schema?: Schema; readonly examples?: Readonly<Record<string, Example>> };
export type Content = Readonly<Record<string, Media>>;

export type Answer = {
  readonly $ref?: string;
  readonly description?: string;
  readonly headers?: Readonly<Record<string, Header>>;
  readonly content?: Content;
};

export type OperationJson = {
  readonly operationId: string;
  readonly tags?: readonly string[];
  readonly summary?: string;
  readonly description?: string;
  readonly security?: readonly object[];
  readonly servers?: readonly object[];
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: { readonly required?: boolean; readonly content: Content };
  readonly responses: Readonly<Record<string, Answer>>;
  readonly 'x-scope'?: string;
};

export type OpenApi = {
  readonly info: { readonly title: string; readonly version: string; readonly description?: string };
  readonly servers?: readonly { readonly url: string; readonly description?: string }[];
  readonly tags?: readonly { readonly name: string; readonly description?: string }[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, OperationJson>>>>;
  readonly components?: {
    readonly schemas?: Readonly<Record<string, Schema>>;
    readonly responses?: Readonly<Record<string, Answer>>;
    readonly headers?: Readonly<Record<string, Header>>;
    readonly securitySchemes?: Readonly<Record<string, { readonly description?: string }>>;
  };
};

export type Operation = {
  readonly id: string;
  /** In capitals. */
  readonly method: string;
  readonly path: string;
  readonly tag: string;
  readonly summary: string;
  /** Null: it needs no key, or any key. */
  readonly scope: string | null;
  readonly needsKey: boolean;
  /** Whether it belongs to no ledger, so that it has no path under /ledgers/{ledger}. */
  readonly isGlobal: boolean;
  readonly json: OperationJson;
};

/** Operations under the name of their tag. */
export type Group = { readonly tag: string; readonly description: string; readonly operations: readonly Operation[] };

const METHODS: ReadonlySet<string> = new Set(['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace']);

/** All operations by their tags, both in the order of the document. */
export function groupsOf(document: OpenApi): Group[] {
  const operations = operationsOf(document);
  const described = new Map((document.tags ?? []).map(({ name, description = '' }) => [name, description]));
  // A tag that the document does not describe comes last.
  const tags = new Set([...described.keys(), ...operations.map(({ tag }) => tag)]);
  return [...tags]
    .map((tag) => ({
      tag,
      description: described.get(tag) ?? '',
      operations: operations.filter((operation) => operation.tag === tag),
    }))
    .filter(({ operations }) => operations.length > 0);
}

function operationsOf({ paths }: OpenApi): Operation[] {
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods)
      .filter(([method]) => METHODS.has(method))
      .map(([method, json]): Operation => ({
        id: json.operationId,
        method: method.toUpperCase(),
        path,
        tag: json.tags?.[0] ?? 'Other',
        summary: json.summary ?? '',
        scope: json['x-scope'] ?? null,
        needsKey: (json.security ?? []).length > 0,
        isGlobal: json.servers !== undefined,
        json,
      })),
  );
}

/** The name at the end of a reference: `Transfer` of `#/components/schemas/Transfer`. */
export function nameOfRef(ref: string): string {
  return ref.slice(ref.lastIndexOf('/') + 1);
}

export function schemaNamed({ components }: OpenApi, name: string): Schema | null {
  return ownMember(components?.schemas, name);
}

/** An answer of an operation, or the shared one that it refers to. */
export function answerOf({ components }: OpenApi, answer: Answer): Answer {
  return answer.$ref === undefined ? answer : (ownMember(components?.responses, nameOfRef(answer.$ref)) ?? {});
}

export function headerOf({ components }: OpenApi, header: Header): Header {
  return header.$ref === undefined ? header : (ownMember(components?.headers, nameOfRef(header.$ref)) ?? {});
}

/** A place in the address may name anything, also what every object inherits. */
function ownMember<Value>(members: Readonly<Record<string, Value>> | undefined, name: string): Value | null {
  return members && Object.hasOwn(members, name) ? (members[name] ?? null) : null;
}

/** The operations that name a schema themselves, in a body or an answer. */
export function usersOf(groups: readonly Group[], schema: string): Operation[] {
  const ref = `"$ref":"#/components/schemas/${schema}"`;
  return groups.flatMap(({ operations }) => operations).filter(({ json }) => JSON.stringify(json).includes(ref));
}
