import { platformErrors } from "@sba/platform/errors";
import { OperationFailed } from "@sba/platform/execute";
import { rateLimitHeaders } from "@sba/platform/rate-limit";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { ExecutionResult, GraphQLError } from "graphql";
import { presentGatewayError } from "./errors.ts";
import {
  acceptsEventStream,
  eventFrame,
  lastEventIdOf,
  refuseAccept,
  type Encoding,
  type EventStream,
  type EventStreams,
} from "./event-stream.ts";
import { prepareOperation, type LiveServices, type OperationInput } from "./live.ts";
import { RUN_EVENTS, WORKFLOW_RUN_EVENTS, type EventsOf } from "./run-events-documents.ts";
import type { StreamItem } from "./stream-item.ts";

/**
 * `GET /workflow/runs/{id}/events`: the events of a run or a workflow run for clients without GraphQL. `event` is the event's
 * type, `data` the event, `id` its cursor. The answer ends with the terminal event; whoever asks again after that is told
 * 204, which keeps an EventSource from coming back for ever.
 */

export const RUN_EVENTS_PATH = "/workflow/runs/:id/events";

export interface RunEventsOptions extends LiveServices {
  readonly streams: EventStreams;
}

const MAX_ID_LENGTH = 64;

const ENCODING: Encoding = {
  items: (items) => Buffer.from(items.map(encode).join("")),
  complete: "",
  failed: ({ errors: problems }) => failed(problems),
};

function encode({ result, cursor }: StreamItem): string {
  const [event] = Object.values(result.data ?? {});
  if (typeof event !== "object" || event === null) return failed(result.errors ?? []);
  const { __typename: type, ...data } = event as { readonly __typename?: string };
  return eventFrame(type ?? "message", JSON.stringify(data), cursor);
}

function failed(problems: readonly GraphQLError[]): string {
  return eventFrame("error", JSON.stringify({ errors: problems }), undefined);
}

export function mountRunEvents(app: FastifyInstance, options: RunEventsOptions): void {
  app.get(RUN_EVENTS_PATH, (request, reply) => answer(options, request, reply));
}

async function answer(
  options: RunEventsOptions,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply | undefined> {
  if (!acceptsEventStream(request)) return refuseAccept(reply, request.id);
  const { id } = request.params as { readonly id: string };
  const { after: asked } = request.query as { readonly after?: unknown };
  const after = lastEventIdOf(request) ?? (typeof asked === "string" && asked !== "" ? asked : null);
  if (id.length > MAX_ID_LENGTH) throw platformErrors.ID_INVALID();
  const events = id.startsWith("wfr_") ? WORKFLOW_RUN_EVENTS : RUN_EVENTS;
  const stream = await options.streams.open(request, reply, ENCODING);
  try {
    const { principal } = stream.session ?? {};
    const asker = { caller: principal, address: request.ip };
    const { refusal, standings } = await options.tolls.admit(asker, RUN_EVENTS_PATH);
    reply.headers(rateLimitHeaders(standings));
    if (refusal) throw refusal;
    if (await isOver(options, stream, events, { id, after })) {
      stream.leave();
      return await reply.code(204).send();
    }
    const opened = openEvents(options, stream, events, { id, after });
    stream.begin(reply);
    stream.follow(opened);
    return undefined;
  } catch (error) {
    stream.leave();
    return sendFailure(reply, error, request.id);
  }
}

interface Asked {
  readonly id: string;
  readonly after: string | null;
}

/** Whether there is nothing after the cursor, and never will be. @throws OperationFailed when the caller may not see the run, or there is none. */
async function isOver(
  options: LiveServices,
  { session }: EventStream,
  { state, readState }: EventsOf,
  { id, after }: Asked,
): Promise<boolean> {
  const prepared = prepare(options, session, { query: state, variables: { id, after } });
  if (prepared.kind !== "single") throw new Error("not a query");
  const { data, errors: problems }: ExecutionResult = await prepared.execute(AbortSignal.timeout(STATE_TIMEOUT_MS));
  if (problems?.length || !data) throw new OperationFailed(problems ?? []);
  const { endedAt, cursor } = readState(data);
  return endedAt !== null && cursor === after;
}

const STATE_TIMEOUT_MS = 10_000;

function openEvents(options: LiveServices, stream: EventStream, { events }: EventsOf, { id, after }: Asked) {
  const prepared = prepare(options, stream.session, { query: events, variables: { id, after } });
  if (prepared.kind !== "stream") throw new Error("not a subscription");
  return prepared.open(stream);
}

function prepare(options: LiveServices, session: EventStream["session"], input: OperationInput) {
  // A supergraph without runs has no such path.
  if (!session) throw platformErrors.CREDENTIALS_MISSING();
  const prepared = prepareOperation(options, session, input);
  if ("kind" in prepared) return prepared;
  if (prepared.some(({ extensions }) => extensions["code"] === "GRAPHQL_VALIDATION_FAILED"))
    throw platformErrors.ROUTE_NOT_FOUND();
  throw new OperationFailed(prepared);
}

/** GraphQL's errors as HTTP has them: the status is of the first. */
function sendFailure(reply: FastifyReply, error: unknown, requestId: string): FastifyReply {
  if (!(error instanceof OperationFailed)) throw error;
  const problems = error.errors.map((problem) => presentGatewayError(problem, requestId));
  return reply.code(statusOf(problems[0])).send({ errors: problems });
}

const STATUSES: Readonly<Record<string, number>> = {
  BAD_USER_INPUT: 400,
  UNAUTHENTICATED: 401,
  FORBIDDEN: 403,
  NOT_FOUND: 404,
  RATE_LIMITED: 429,
  UNAVAILABLE: 503,
};

function statusOf(problem: GraphQLError | undefined): number {
  return STATUSES[String(problem?.extensions["code"])] ?? 500;
}
