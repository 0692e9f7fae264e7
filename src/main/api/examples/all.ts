// The examples of the OpenAPI document, in the order of a story: a test sends each to a service and compares its answer.
import { BOOK_EXAMPLES } from './books.ts';
import { BASIC_EXAMPLES } from './basics.ts';
import type { Example } from './parts.ts';
import { WEBHOOK_EXAMPLES } from './webhooks.ts';

export const EXAMPLES: readonly Example[] = [...BASIC_EXAMPLES, ...BOOK_EXAMPLES, ...WEBHOOK_EXAMPLES];
