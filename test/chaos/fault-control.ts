// How a test controls the faults of a service (see fault-injection.ts): by a file in the folder that the service runs in.
import { z } from 'zod';

export const CONTROL_FILE = 'fault.json';

const injection = z.object({
  /** Identifies the injection: a new one has another number. */
  number: z.number(),
  /** The offset of the clock from now on. */
  offsetMs: z.number(),
  /** How long to block the main thread's event loop, once. */
  blockMs: z.number(),
});

export type Injection = z.infer<typeof injection>;

/** The injection in the file's text, or null while it is being written. */
export function parseInjection(text: string): Injection | null {
  return text.endsWith('}') ? injection.parse(JSON.parse(text)) : null;
}
