// The document, for the parts of the reference that look something up in it.
import { createContext } from 'preact';
import { useContext } from 'preact/hooks';
import type { OpenApi } from './document.ts';

const DocumentContext = createContext<OpenApi | null>(null);
export const DocumentProvider = DocumentContext.Provider;

export function useDocument(): OpenApi {
  const document = useContext(DocumentContext);
  if (document === null) throw new Error('There is no document.');
  return document;
}
