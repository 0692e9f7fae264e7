// Who uses the console: the key, which the tab alone remembers until it is closed, and what it may do.
import { createContext } from 'preact';
import { useContext } from 'preact/hooks';
import type { Api } from './api.ts';
import type { Access } from './wire.ts';

/** Services behind one origin differ by the folder of the page, and none may get the key of another. */
const KEY = `gopherpay.key:${new URL('.', document.baseURI).pathname}`;

export type Session = {
  readonly api: Api;
  readonly access: Access;
  readonly ledger: string;
  /** Whether the key has a scope. */
  readonly may: (scope: string) => boolean;
};

const SessionContext = createContext<Session | null>(null);
export const SessionProvider = SessionContext.Provider;

/** The session of the pages, which are rendered only once there is one. */
export function useSession(): Session {
  const session = useContext(SessionContext);
  if (session === null) throw new Error('There is no session.');
  return session;
}

export function rememberedKey(): string | null {
  return sessionStorage.getItem(KEY);
}

export function rememberKey(key: string | null): void {
  if (key === null) sessionStorage.removeItem(KEY);
  else sessionStorage.setItem(KEY, key);
}
