// What the resources share: the bodies of answers, and the queries of pages.
import { UnexpectedAnswerError } from './errors.ts';

/** The body of an answer. A refusal was thrown before. */
export async function dataOf<Data>(call: Promise<{ data?: Data; response: Response }>): Promise<Data> {
  const { data, response } = await call;
  if (data === undefined) throw new UnexpectedAnswerError(response.status, '');
  return data;
}

export function unexpected(answer: object): UnexpectedAnswerError {
  return new UnexpectedAnswerError(200, JSON.stringify(answer));
}

/** The query of the page after a cursor. */
export function continued<Query extends object>(query: Query, after: string | undefined): Query & { after?: string } {
  return after === undefined ? query : { ...query, after };
}
