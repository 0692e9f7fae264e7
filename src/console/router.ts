// Follows the address of the page; place.ts says what it means.
import { useEffect, useState } from 'preact/hooks';
import { parsePlace, type Place } from './place.ts';

export function go(href: string): void {
  location.hash = href;
}

/** The current place. The component is rendered again when it changes. */
export function usePlace(): Place {
  const [place, setPlace] = useState(() => parsePlace(location.hash));
  useEffect(() => {
    const update = (): void => setPlace(parsePlace(location.hash));
    addEventListener('hashchange', update);
    return () => removeEventListener('hashchange', update);
  }, []);
  return place;
}
