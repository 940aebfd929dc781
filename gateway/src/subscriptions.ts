import type { Caller } from "@sba/platform/caller";
import { OperationFailed } from "@sba/platform/execute";
import { canonicalJson } from "@sba/platform/idempotency";
import { newId } from "@sba/platform/ids";
import { getVariableValues, type ExecutionResult } from "graphql";
import type { KnownDocument } from "./documents.ts";
import { presentGatewayError } from "./errors.ts";
import type { StreamCursor, StreamSource } from "./fan-out.ts";
import type { GatewayContext, SubgraphLinks } from "./forward.ts";
import type { Graph, OperationPlan } from "./graph.ts";
import { runPlan } from "./plan-run.ts";
import { pick, streamVariables, toPrimaryFetch, type PrimaryFetch } from "./primary-fetch.ts";
import { StreamItem } from "./stream-item.ts";

/**
 * A federated subscription: the plan's primary fetch opens the stream at its owner, and for each event the whole plan
 * runs, with the event in the place of the primary's answer, so that other subgraphs' entities are joined to it.
 */

export interface StreamRequest {
  readonly graph: Graph;
  readonly known: KnownDocument;
  readonly operationName: string | null | undefined;
  readonly variables: Readonly<Record<string, unknown>>;
  readonly caller: Caller;
}

export interface PreparedStream {
  readonly source: StreamSource;
  /** The cursor that the client starts after. */
  readonly after: StreamCursor;
}

/** The stream that a request asks for. @throws OperationFailed when its variables do not fit. */
export function prepareStream(links: SubgraphLinks, request: StreamRequest): PreparedStream {
  const { graph, known, operationName, variables } = request;
  const plan = graph.planOf(known.document, operationName);
  const coerced = coerceVariables(plan, request);
  const { fetch, familyVariables } = shapeOf(graph, plan, known);
  const family = canonicalJson([
    graph.id,
    known.hash,
    operationName ?? null,
    pick(variables, familyVariables),
    audienceOf(request.caller),
  ]);
  return {
    after: fetch.startOf(coerced),
    source: { family, resumable: fetch.resumable, open: (after) => openStream(links, request, plan, fetch, after) },
  };
}

function coerceVariables(plan: OperationPlan, { graph, variables, caller }: StreamRequest): Record<string, unknown> {
  const { errors, coerced } = getVariableValues(plan.apiSchema, plan.operation.variableDefinitions ?? [], variables);
  if (errors)
    throw new OperationFailed(graph.told(errors).map((error) => presentGatewayError(error, caller.requestId)));
  return coerced;
}

interface StreamShape {
  readonly fetch: PrimaryFetch;
  readonly familyVariables: ReadonlySet<string>;
}

const shapes = new WeakMap<OperationPlan, StreamShape>();

function shapeOf(graph: Graph, plan: OperationPlan, { document }: KnownDocument): StreamShape {
  const existing = shapes.get(plan);
  if (existing) return existing;
  if (!plan.primary) throw new Error("not the plan of a subscription");
  const made = { fetch: toPrimaryFetch(graph.schema, plan.primary), familyVariables: streamVariables(document) };
  shapes.set(plan, made);
  return made;
}

/** All that a subgraph learns of a caller and may decide by. */
function audienceOf({ tenantId, principalId, principalKind, permissions }: Caller): unknown {
  return [tenantId, principalId, principalKind, [...permissions].toSorted()];
}

function openStream(
  links: SubgraphLinks,
  request: StreamRequest,
  plan: OperationPlan,
  fetch: PrimaryFetch,
  after: StreamCursor,
): AsyncIterator<StreamItem, undefined> {
  const { query, document, operationName, subgraph } = fetch;
  const link = links.get(subgraph);
  if (!link) throw new Error(`no link to the subgraph ${subgraph}`);
  const leaving = new AbortController();
  const context = streamContext(request.caller, leaving.signal);
  const upstream = link.subscribe(
    { query, document, operationName, variables: fetch.variables(request.variables, after) },
    context,
  );
  return {
    next: async () => {
      const step = await upstream.next().catch((error: unknown) => {
        throw asFailure(error, context.requestId);
      });
      if (step.done) return step;
      const cursor = fetch.cursorOf(step.value);
      return { done: false, value: new StreamItem(await join(links, request, plan, context, step.value), cursor) };
    },
    return: async () => {
      leaving.abort();
      await upstream.return?.();
      return { done: true, value: undefined };
    },
  };
}

/** The stream's own request: it is shared, so it is nobody's in particular, and who may still see it is decided above. */
function streamContext({ expiresAtMs, ...caller }: Caller, signal: AbortSignal): GatewayContext {
  const requestId = newId();
  return { caller: { ...caller, requestId }, requestId, signal };
}

function asFailure(error: unknown, requestId: string): unknown {
  return error instanceof OperationFailed ? error : new OperationFailed([presentGatewayError(error, requestId)]);
}

/** The client's result of an event: without other subgraphs' entities there is nothing to wait for. */
async function join(
  links: SubgraphLinks,
  { variables }: StreamRequest,
  plan: OperationPlan,
  context: GatewayContext,
  event: ExecutionResult,
): Promise<ExecutionResult> {
  const from = plan.primary?.serviceName ?? "";
  const result = await runPlan(plan, { links, variables, context, event: { ...event, from } });
  return result.errors
    ? { ...result, errors: result.errors.map((error) => presentGatewayError(error, context.requestId)) }
    : result;
}
