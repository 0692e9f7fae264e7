// The places of the reference: the part of the address after #. An operation has its id, a schema a prefix before its name.
import { useEffect, useState } from 'preact/hooks';

const SCHEMA = 'schema-';

export type Place =
  | { readonly kind: 'start' }
  | { readonly kind: 'operation'; readonly id: string }
  | { readonly kind: 'schema'; readonly name: string };

export function parsePlace(hash: string): Place {
  // Links of an earlier reference had the tag before the id: #/Transfers/createTransfer.
  const name = decode(hash.replace(/^#/, '')).split('/').at(-1) ?? '';
  if (name === '') return { kind: 'start' };
  return name.startsWith(SCHEMA)
    ? { kind: 'schema', name: name.slice(SCHEMA.length) }
    : { kind: 'operation', id: name };
}

export function hrefOfOperation(id: string): string {
  return `#${encodeURIComponent(id)}`;
}

export function hrefOfSchema(name: string): string {
  return `#${SCHEMA}${encodeURIComponent(name)}`;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return '';
  }
}

/** The current hash. The component is rendered again when it changes. */
export function useHash(): string {
  const [hash, setHash] = useState(location.hash);
  useEffect(() => {
    const update = (): void => setHash(location.hash);
    addEventListener('hashchange', update);
    return () => removeEventListener('hashchange', update);
  }, []);
  return hash;
}
