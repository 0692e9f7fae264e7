// The handlers for operators: liveness, readiness, metrics, and the OpenAPI document.
import type { Intake } from '../../engine/intake.ts';
import type { Metrics } from '../../engine/metrics.ts';
import { defineRoute, NO_BODY, type Route } from '../route.ts';
import { NO_PARAMETERS } from '../schemas.ts';
import { Problem } from '../../http/problem.ts';
import { stoppingProblem } from '../../http/refusals.ts';

type OperationParts = {
  intake: Intake;
  metrics: Metrics;
  /** Whether the service is stopping. */
  stopping: () => boolean;
  /** Whether the database answered the last heartbeat, and short reads are answered. */
  heartbeatHealthy: () => boolean;
  readsHealthy: () => boolean;
  openapi: () => Record<string, unknown>;
};

export function operationRoutes(parts: OperationParts): Route[] {
  return [...healthRoutes(parts), ...descriptionRoutes(parts)];
}

function healthRoutes(parts: OperationParts): Route[] {
  return [
    defineRoute({
      operationId: 'getHealth',
      tag: 'Operation',
      method: 'GET',
      pattern: '/healthz',
      scope: 'open',
      global: true,
      operational: true,
      summary: 'Whether the process is alive',
      query: NO_PARAMETERS,
      body: NO_BODY,
      answers: { 200: 'Health' },
      problems: [],
      handle: async () => ({ status: 200, json: { status: 'alive' } }),
    }),
    defineRoute({
      operationId: 'getReadiness',
      tag: 'Operation',
      method: 'GET',
      pattern: '/readyz',
      scope: 'open',
      global: true,
      operational: true,
      summary: 'Whether the service can accept transfers',
      query: NO_PARAMETERS,
      body: NO_BODY,
      answers: { 200: 'Health' },
      problems: ['not_ready'],
      async handle() {
        if (parts.stopping()) throw stoppingProblem();
        const failing = [
          ...(parts.intake.available ? [] : ['intake']),
          ...(parts.heartbeatHealthy() ? [] : ['heartbeat']),
          ...(parts.readsHealthy() ? [] : ['reads']),
        ];
        if (failing.length > 0) throw notReadyProblem(failing);
        return { status: 200, json: { status: 'ready' } };
      },
    }),
  ];
}

function descriptionRoutes(parts: OperationParts): Route[] {
  let openapi: string | undefined;
  return [
    defineRoute({
      operationId: 'getMetrics',
      tag: 'Operation',
      method: 'GET',
      pattern: '/metrics',
      scope: 'metrics:read',
      global: true,
      operational: true,
      summary: 'Metrics, for Prometheus',
      query: NO_PARAMETERS,
      body: NO_BODY,
      answers: { 200: 'Metrics' },
      problems: [],
      handle: async () => ({ status: 200, text: await parts.metrics.render() }),
    }),
    defineRoute({
      operationId: 'getOpenApi',
      tag: 'Operation',
      method: 'GET',
      pattern: '/openapi.json',
      scope: 'open',
      global: true,
      summary: 'This interface, as OpenAPI 3.1',
      query: NO_PARAMETERS,
      body: NO_BODY,
      answers: { 200: 'OpenApi' },
      problems: [],
      async handle() {
        // Rendered once: rendering takes 50 ms, and the routes do not change.
        openapi ??= JSON.stringify(parts.openapi());
        return { status: 200, text: { contentType: 'application/json', text: openapi } };
      },
    }),
  ];
}

function notReadyProblem(failing: string[]): Problem {
  return new Problem('not_ready', `These parts of the service are failing: ${failing.join(', ')}.`, {
    headers: { 'Retry-After': '1' },
    members: { failing },
  });
}
