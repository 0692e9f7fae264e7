// The problems with which the server itself refuses requests.
import { Problem } from './problem.ts';

export function tooManyConnectionsProblem(): Problem {
  return new Problem('too_many_connections', 'Use fewer connections from your address, or try again later.', {
    headers: { 'Retry-After': '1' },
  });
}

export function stoppingProblem(): Problem {
  return new Problem('shutting_down', 'The service is stopping; nothing was stored. Try again.', {
    headers: { 'Retry-After': '1', Connection: 'close' },
  });
}
