// The handlers that describe the caller and the process: what a key may do, and what the service does now.
import { randomUUIDv7 } from 'node:crypto';
import type { Metrics } from '../../engine/metrics.ts';
import { defineRoute, NO_BODY, type Route } from '../route.ts';
import { NO_PARAMETERS } from '../schemas.ts';
import { renderAccess, renderActivity } from '../access-views.ts';

export function accessRoutes({ metrics }: { metrics: Metrics }): Route[] {
  // Totals begin with the process, so a reader compares two readings only if they are of the same one.
  const process = randomUUIDv7();
  return [
    defineRoute({
      operationId: 'getAccess',
      tag: 'Operation',
      method: 'GET',
      pattern: '/access',
      scope: 'any',
      global: true,
      ofOwnLedger: true,
      summary: 'What the key of the request may do',
      query: NO_PARAMETERS,
      body: NO_BODY,
      answers: { 200: 'Access' },
      problems: [],
      handle: async ({ principal }) => ({ status: 200, json: renderAccess(principal) }),
    }),
    defineRoute({
      operationId: 'getActivity',
      tag: 'Operation',
      method: 'GET',
      pattern: '/activity',
      scope: 'metrics:read',
      global: true,
      operational: true,
      summary: 'What the answering process does now: its queue, its totals, and the times to final',
      query: NO_PARAMETERS,
      body: NO_BODY,
      answers: { 200: 'Activity' },
      problems: [],
      handle: async () => ({ status: 200, json: renderActivity(process, metrics.snapshot()) }),
    }),
  ];
}
