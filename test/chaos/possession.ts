// How a possessed service is told what to do (see possessed.ts): by a file in the folder it was started in.
import { z } from 'zod';

export const CONTROL_FILE = 'possessed.json';

const orders = z.object({
  /** Which orders these are: new ones have another number. */
  number: z.number(),
  /** How wrong the clock is from now on. */
  offsetMs: z.number(),
  /** How long the main thread's event loop is to stand still, once. */
  blockMs: z.number(),
});

export type Orders = z.infer<typeof orders>;

/** The orders in the file's text, or null while it is being written. */
export function parseOrders(text: string): Orders | null {
  return text.endsWith('}') ? orders.parse(JSON.parse(text)) : null;
}
